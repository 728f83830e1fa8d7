"""The errors: the tree, as drawn in docs/design.md."""

import re
from pathlib import Path

from minibp import errors

ROOT = Path(__file__).parent.parent

# --- the tree ------------------------------------------------------------------------------------------------------


def drawn():
    """The tree in docs/design.md: the parent of each error, and the built-in one beside it."""
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```\n(MinibpError\n.*?)```", text, re.DOTALL)
    tree, above = {}, []
    for line in block.splitlines():
        branches, name, builtin = re.match(r"([│├└─ ]*)(\w+)(?: \((\w+)\))?", line).groups()
        above[len(branches) // 4 :] = [name]
        tree[name] = above[-2] if len(above) > 1 else "Exception", builtin
    return tree


def test_the_tree_of_errors_is_as_drawn():
    tree = {}
    for name, cls in vars(errors).items():
        if isinstance(cls, type) and issubclass(cls, Exception):
            parent, *others = [base.__name__ for base in cls.__bases__]
            tree[name] = parent, *(others or [None])
    assert drawn() == tree
