"""The code on the pages of the documentation: which blocks there are, and what one does."""

import re


def read(page):
    return page.read_text(encoding="utf-8")


def blocks(page, language=r"\w+"):
    """The code blocks of a page."""
    return re.findall(rf"```{language}\n(.*?)```", read(page), re.DOTALL)


def example(page, words):
    """The Python block of a page that contains these words."""
    (found,) = [block for block in blocks(page, "python") if words in block]
    return found


def without_words(code):
    """Code without its comments and docstrings: what must be the same in every language."""
    return re.sub(r'\s*#.*|"""[^"]*"""', "", code)


def run(example, page):
    """Run a block of a page as a program of its own. Returns its names."""
    namespace = {}
    exec(compile(example, page.name, "exec"), namespace)
    return namespace


def examples(page):
    """The heading, the code and the output of each Python block that is followed by a block of text, its output."""
    pattern = r"```python\n((?:(?!```).)*)```\n\n```text\n(.*?)```"
    sections = (section.partition("\n") for section in re.split(r"(?m)^##+ ", read(page)))
    return [(heading, *found) for heading, _, text in sections for found in re.findall(pattern, text, re.DOTALL)]
