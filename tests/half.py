"""A file that something happens to when it is half written: the half that is left must do no harm."""

from collections.abc import Callable


class HalfWritten:
    """Takes the place of `open`, and calls a function when half of the contents is written."""

    def __init__(self, then: Callable[[], None], *arguments):
        self.then = then
        self.file = open(*arguments)  # noqa: SIM115  # closed at the end of the `with` block

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def __getattr__(self, name: str):
        return getattr(self.file, name)

    def write(self, content: bytes) -> None:
        half = len(content) // 2
        self.file.write(content[:half])
        self.file.flush()
        self.then()
        self.file.write(content[half:])
