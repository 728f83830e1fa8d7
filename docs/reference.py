"""Build the pages of the documentation, with a reference of all public names: python docs/reference.py

They go to the folder docs/site, which needs no network: open docs/site/index.html. The notebooks of build.py are part
of them, so run that first. A warning, a broken link or a public name that is missing ends the build. Needs the extra
`docs`.
"""

from __future__ import annotations

import base64
import importlib
import inspect
import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import unquote, urlsplit

import minibp
from minibp import errors

DOCS = Path(__file__).parent
ROOT = DOCS.parent
SOURCES, SITE = DOCS / "pages", DOCS / "site"

GROUPS = {  # of the names of `minibp`; the classes of layers, losses and optimizers are found by what they are
    "networks": (
        "Networks and training",
        ["Network", "train", "evaluate", "Epoch", "EarlyStopping", "WeightAverage", "compile"],
    ),
    "layers": ("Layers", ["Layer", "Sequential", "Residual"]),
    "losses": ("Losses", ["Loss"]),
    "optimizers": ("Optimizers", ["Optimizer"]),
    "files": ("Saving and resuming", ["save", "load", "Checkpoint"]),
}
SUBMODULES = tuple(f"minibp.{name}" for name in (
    "schedules", "initializers", "metrics", "data", "debug", "sklearn", "export", "backend", "errors"
))  # fmt: skip
PUBLIC_BASES = [each for module in (minibp, errors) for each in vars(module).values() if isinstance(each, type)]
# The rest of docs.
GUIDES = ("guide", "answer", "scikit-learn", "export", "parallel", "performance", "reliability", "design")


class BuildError(Exception):
    """The pages could not be built, or something is wrong with them."""


def public_names(module: ModuleType) -> list[str]:
    """The full public names of a module: those in its `__all__`, or of what it defines."""
    here = [name for name, each in vars(module).items() if getattr(each, "__module__", None) == module.__name__]
    names = getattr(module, "__all__", None) or [name for name in here if not name.startswith("_")]
    return [f"{module.__name__}.{name}" for name in names]


def groups() -> dict[str, tuple[str, list[str]]]:
    """The pages of the reference: the title of each, and the full names on it."""
    pages = {page: (title, [f"minibp.{name}" for name in names]) for page, (title, names) in GROUPS.items()}
    kinds = {"layers": minibp.Layer, "losses": minibp.Loss, "optimizers": minibp.Optimizer}
    for name in minibp.__all__:
        each = getattr(minibp, name)
        for page, kind in kinds.items():
            if isinstance(each, type) and issubclass(each, kind) and f"minibp.{name}" not in pages[page][1]:
                pages[page][1].append(f"minibp.{name}")
    for name in SUBMODULES:
        pages[name.partition(".")[2]] = (name, public_names(importlib.import_module(name)))
    return pages


def reference_page(title: str, names: list[str]) -> str:
    """The source of a page of the reference, in reStructuredText."""
    about = inspect.getdoc(importlib.import_module(title)) if title in SUBMODULES else None
    lines = [title, "=" * len(title), "", about or "", ""]
    for name in names:
        module, _, own = name.rpartition(".")
        each: Any = getattr(importlib.import_module(module), own)
        kind = "class" if isinstance(each, type) else "function" if callable(each) else "data"
        options = ["   :members:"] if kind == "class" else []
        if kind == "class" and any(base in PUBLIC_BASES for base in each.__bases__):
            options.append("   :show-inheritance:")
        lines += [f".. auto{kind}:: {name}", *options, ""]
        if module != "minibp" and own in minibp.__all__ and getattr(minibp, own) is each:
            parameters = ", ".join(inspect.signature(each).parameters)
            lines += [f".. py:function:: minibp.{own}({parameters})", "", "   The same.", ""]
    return "\n".join(lines)


def notebook(name: str) -> str:
    """The source of a page with a notebook and its outputs. The pictures go to the folder of the pages."""
    import nbformat

    path = DOCS / f"{name}.ipynb"
    if not path.exists():
        raise BuildError(f"{path.name} has not been built; run python docs/build.py first")
    parts, pictures = [], 0
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
            continue
        parts.append(f"```python\n{cell.source}\n```")
        for output in cell.outputs:
            if picture := output.get("data", {}).get("image/png"):
                pictures += 1
                file = f"{name}-{pictures}.png"
                (SOURCES / file).write_bytes(base64.b64decode(picture))
                parts.append(f"![picture {pictures}, drawn by the code above]({file})")
            elif output.output_type == "stream":
                parts.append(f"```{{code-block}} text\n:class: output\n\n{output.text.rstrip()}\n```")
    return "\n\n".join(parts)


def markdown_pages() -> dict[Path, str]:
    """The Markdown files of the repository that become pages, and the names of these pages."""
    pages = {ROOT / "README.md": "index", ROOT / "README.zh-CN.md": "index.zh-CN"}
    pages |= {ROOT / f"{name}.md": name.lower() for name in ("CONTRIBUTING", "CHANGELOG")}
    return pages | {path: path.stem for path in sorted(DOCS.glob("*.md"))}


def with_links(text: str, path: Path, pages: dict[Path, str]) -> str:
    """The text of a page with links to other pages; links to files that are no pages become plain text."""

    def link(found: re.Match[str]) -> str:
        mark, words, address, anchor = found.groups(default="")
        target = (path.parent / address).resolve() if address else path
        if target in pages:
            return f"{mark}[{words}]({pages[target]}.md{anchor})"
        if (SOURCES / address).is_file():  # a picture of a notebook
            return found[0]
        if not target.exists():
            raise BuildError(f"{path.relative_to(ROOT)}: the link {address} leads nowhere")
        if mark:
            shutil.copy(target, SOURCES)
            return f"![{words}]({target.name})"
        return words

    parts = re.split(r"(?ms)(^```.*?^```$|`[^`\n]+`(?!\]))", text)  # every second one is code
    parts[::2] = [re.sub(r"(!?)\[([^\]]*)\]\((?!\w+:)([^)#\s]*)(#[^)\s]*)?\)", link, part) for part in parts[::2]]
    return "".join(parts)


def contents(caption: str, names: list[str]) -> str:
    """A part of the table of contents."""
    return "\n".join([f"```{{toctree}}\n:hidden:\n:caption: {caption}\n", *names, "```\n"])


def collect() -> None:
    """Write the sources of all pages."""
    shutil.rmtree(SOURCES, ignore_errors=True)
    SOURCES.mkdir()
    pages, reference = markdown_pages(), groups()
    for path, name in pages.items():
        text = notebook(name) if name.startswith("answer") else path.read_text(encoding="utf-8")
        (SOURCES / f"{name}.md").write_text(with_links(text, path, pages), encoding="utf-8")
    for name, page in reference.items():
        (SOURCES / f"minibp-{name}.rst").write_text(reference_page(*page), encoding="utf-8")
    guides = [*GUIDES, *sorted({path.name.split(".")[0] for path in DOCS.glob("*.md")} - {*GUIDES})]
    chinese = [f"{name}.zh-CN" for name in guides if (DOCS / f"{name}.zh-CN.md").exists()]
    with (SOURCES / "index.md").open("a", encoding="utf-8") as file:
        file.write("\n" + contents("Guides", ["Introduction <self>", *guides]))
        file.write(contents("Reference", [f"minibp-{name}" for name in reference]))
        file.write(contents("中文", ["介绍 <index.zh-CN>", *chinese]))
        file.write(contents("Project", ["contributing", "changelog"]))


class Page(HTMLParser):
    """What a page links to, what it loads, and the ids in it."""

    def __init__(self, path: Path):
        super().__init__()
        self.ids, self.links, self.loads = set[str](), list[str](), list[str]()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.ids.add(value or "")
            elif name in ("href", "src"):
                (self.links if tag == "a" else self.loads).append(value or "")


def check() -> str:
    """Check the pages that were built: all links, that nothing comes from the network, and that all names are there."""
    pages = {path.resolve(): Page(path) for path in SITE.rglob("*.html")}
    wrong, count = [], 0
    for path, page in pages.items():
        for address in page.links + page.loads:
            url = urlsplit(address)
            target = (path.parent / unquote(url.path)).resolve() if url.path else path
            if url.scheme or url.netloc:
                broken = address in page.loads and url.scheme != "data"
            elif target in pages:
                broken = url.fragment != "" and unquote(url.fragment) not in pages[target].ids
            else:
                broken = not target.is_file()
            count += 1
            wrong += [f"{path.relative_to(SITE.resolve())}: {address}"] if broken else []
    if wrong:
        raise BuildError("broken links, or addresses in the network that a page loads:\n" + "\n".join(wrong))
    modules = [importlib.import_module(name) for name in ("minibp", *SUBMODULES)]
    names = {name for module in modules for name in public_names(module)} - set(SUBMODULES)
    missing = names - set().union(*(page.ids for page in pages.values()))
    if missing:
        raise BuildError(f"the reference lacks {', '.join(sorted(missing))}; give them a place in GROUPS")
    return f"{len(pages)} pages, {count} links, {len(names)} public names"


def main() -> int:
    """Build and check the pages. Returns the exit status."""
    try:
        from sphinx.cmd.build import build_main

        collect()
        shutil.rmtree(SITE, ignore_errors=True)
        strict = ["--quiet", "--fail-on-warning", "--keep-going"]
        if status := build_main([*strict, "-c", str(DOCS), "-d", str(SOURCES / ".doctrees"), str(SOURCES), str(SITE)]):
            return status
        print(f"{SITE.relative_to(ROOT)}: {check()}")
    except ImportError as error:
        print(f"error: {error.name} is missing; pip install -e '.[docs]'", file=sys.stderr)
        return 2
    except BuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
