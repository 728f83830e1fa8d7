"""How Sphinx makes the pages that reference.py has collected. It is run by reference.py only."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert

import minibp

project = "minibp"
version = release = minibp.__version__
copyright = "The minibp authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4

autodoc_typehints = "none"  # the docstrings say it in words
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_custom_sections = [("Attributes", "params_style"), ("Yields", "params_style")]  # several names in a line
smartquotes_action = "D"  # dashes only: quotes are those of Python
default_role = "py:obj"  # a name in backticks is a link, if there is such a name
add_module_names = False
python_maximum_signature_line_length = 100

html_theme = "furo"
html_title = f"minibp {version}"
html_static_path = ["reference.css"]
html_css_files = ["reference.css"]
html_copy_source = False
html_math_renderer = "mathml"
html_theme_options = {"navigation_with_keys": True}
pygments_style = "default"


def mathml(tex: str, display: str) -> str:
    """A formula as MathML, with ∂ and / as close to their neighbours as TeX sets them."""
    found = convert(tex, display=display).replace("<mo>&#x02202;</mo>", "<mi>&#x02202;</mi>")
    return found.replace("<mo>&#x0002F;</mo>", '<mo lspace="0" rspace="0">/</mo>')


def visit_math(self: Any, node: nodes.math) -> None:
    """A formula between words, as MathML, which browsers show by themselves."""
    self.body.append(mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def visit_math_block(self: Any, node: nodes.math_block) -> None:
    """A formula on a line of its own."""
    self.body.append(f'<div class="math">{mathml(node.astext(), "block")}</div>')
    raise nodes.SkipNode


def escape(app: Any, what: str, name: str, obj: object, options: Any, lines: list[str]) -> None:
    """Keep the signs of formulas, |a - t| and a * b, from being markup."""
    if what in ("property", "attribute"):
        lines[:0] = ["..", ""]  # an empty comment; else napoleon takes what is before a colon for the type
    for i, line in enumerate(lines):
        parts = re.split(r"(``.*?``|`.*?`)", line)
        parts[::2] = [re.sub(r"(?<!\\)([|*])", r"\\\1", part) for part in parts[::2]]
        lines[i] = "".join(parts)


def skip(app: Any, what: str, name: str, obj: Any, skipped: bool, options: Any) -> bool | None:
    """Leave out methods that another library has added to a class, and what Python says about named tuples."""
    foreign = not getattr(obj, "__module__", "minibp").startswith(("minibp", "builtins"))
    return True if foreign or str(getattr(obj, "__doc__", "")).startswith("Alias for field") else None


def show_bases(app: Any, name: str, obj: type, options: Any, bases: list[Any]) -> None:
    """Show those bases that are in the reference, where it has them."""
    public = {each: f":py:class:`~{module.__name__}.{own}`" for module in (minibp.errors, minibp)
              for own, each in vars(module).items() if isinstance(each, type)}  # fmt: skip
    bases[:] = [public.get(base, base) for base in bases if base in public or base.__module__ == "builtins"]


def set_language(app: Any, page: str, template: str, context: dict[str, Any], tree: Any) -> None:
    """Say which pages are Chinese, so that browsers choose a font for it."""
    if page.endswith(".zh-CN"):
        context["language"] = "zh-CN"


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
    app.connect("autodoc-process-docstring", escape, priority=400)  # before napoleon
    app.connect("autodoc-skip-member", skip)
    app.connect("autodoc-process-bases", show_bases)
    app.connect("html-page-context", set_language)
