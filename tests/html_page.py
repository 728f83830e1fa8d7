"""A page of HTML, read: is it well formed, what does it load, what do its sections and tables say?"""

from html.parser import HTMLParser

EMPTY = {"meta", "img", "br", "hr", "link", "input"}  # elements without an end


class Page(HTMLParser):
    """A page that has been read; an AssertionError if an element is not closed where it should be.

    Attributes
    ----------
    elements : list of (tag, dict)
        All elements with their attributes.
    texts : dict
        The text of each section by its id, and of what is in none by "".
    tables : dict
        The tables of each section, as lists of rows of texts.
    """

    def __init__(self, html):
        super().__init__()
        self.open, self.elements, self.section = [], [], ""
        self.texts, self.tables = {"": ""}, {"": []}
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag in EMPTY:
            return
        self.open.append(tag)
        tables = self.tables[self.section]
        if tag == "section":
            self.section = dict(attributes).get("id", "")
            self.texts.setdefault(self.section, "")
            self.tables.setdefault(self.section, [])
        elif tag == "table":
            tables.append([])
        elif tag == "tr":
            tables[-1].append([])
        elif tag in ("td", "th"):
            tables[-1][-1].append("")

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag == "section":
            self.section = ""

    def handle_data(self, data):
        if self.open and self.open[-1] == "style":
            return
        self.texts[self.section] += data
        if "td" in self.open or "th" in self.open:
            self.tables[self.section][-1][-1][-1] += data

    def numbers(self, section, table=0):
        """The body of a table of a section as rows of floats, without the first column."""
        return [[float(cell.rstrip("%\u202f")) for cell in row[1:]] for row in self.tables[section][table][1:]]
