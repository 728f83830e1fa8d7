"""Build and run the notebooks docs/answer.ipynb and docs/answer.zh-CN.ipynb: python docs/build.py

The sources are answer.md and answer.zh-CN.md. A cell that fails ends the build. To read the notebooks in a browser, run
reference.py afterwards. Needs the extra `docs`.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

DOCS = Path(__file__).parent
NAMES = ("answer", "answer.zh-CN")
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
SECONDS = 120  # time limit of a cell
QUIET = ["--IPKernelApp.log_level=ERROR"]  # else it warns that it is reached without encryption, from this machine


def build(name: str) -> str:
    """Build a notebook from its source, run it, and write it. Returns a line about it."""
    import jupytext
    import nbformat
    from nbclient import NotebookClient

    notebook = jupytext.read(DOCS / f"{name}.md")
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL})
    start = time.perf_counter()
    resources = {"metadata": {"path": str(DOCS)}}
    NotebookClient(notebook, timeout=SECONDS, resources=resources, extra_arguments=QUIET).execute()
    seconds = time.perf_counter() - start
    nbformat.write(notebook, DOCS / f"{name}.ipynb")
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    pictures = sum("image/png" in output.get("data", {}) for cell in cells for output in cell.outputs)
    return f"{name}.ipynb: {len(cells)} cells run, {pictures} pictures, {seconds:.0f} s"


def font_note() -> str:
    """A line if there is no font for the pictures of the Chinese notebook."""
    sys.path.insert(0, str(DOCS.parent))
    from datasets.plot import fonts

    found = len(fonts()) > 1
    return "" if found else "no font with Chinese characters: labels show boxes; install one such as fonts-noto-cjk\n"


def main() -> int:
    """Build all notebooks. Returns the exit status."""
    try:
        for name in NAMES:
            print(build(name), flush=True)
        print(font_note(), end="")
    except ImportError as error:
        print(f"error: {error.name} is missing; pip install -e '.[docs]'", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
