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


def same_output(printed, shown):
    """Whether a program printed what a page shows, but for seconds and the rounding of processors.

    Numbers with a point may differ by 0.02. Tiny errors, such as 1.4e-10, are all alike.
    """
    number = r"\d+\.\d+(?:e[-+]\d+)?"
    printed, shown = (re.sub(r"\d+\.\d+ s\b", "s", text) for text in (printed, shown))
    if re.sub(number, "", printed) != re.sub(number, "", shown):
        return False
    pairs = zip(*(map(float, re.findall(number, text)) for text in (printed, shown)), strict=True)
    return all(abs(ours - theirs) <= 0.02 for ours, theirs in pairs)


def slug(heading):
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
