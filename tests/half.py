"""A file that something happens to when it is half written: what is left then must do no harm."""

from collections.abc import Callable


class HalfWritten:
    """In the place of `open`, with what happens when half of what is written lies in the file."""

    def __init__(self, then: Callable[[], None], *arguments):
        self.then = then
        self.file = open(*arguments)  # noqa: SIM115  # it is closed where `with` leaves it

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
