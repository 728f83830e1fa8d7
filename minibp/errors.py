"""Every error minibp raises on purpose: one tree, so that one `except MinibpError` catches them all.

Each also inherits from the built-in exception a Python programmer would expect there.
A message says what was received, what was expected, and what to do.
"""


class MinibpError(Exception):
    """Base of all errors of minibp."""


class ArgumentError(MinibpError, ValueError):
    """An argument is outside its range, or arguments contradict each other."""


class UnknownNameError(ArgumentError):
    """A name (of a model, an optimizer, a backend, ...) that does not exist; the message lists those that do."""

    def __init__(self, kind: str, name: object, known: "list[str] | tuple[str, ...]"):
        super().__init__(f"unknown {kind} {name!r}: choose one of {', '.join(map(str, known))}")


class ShapeError(MinibpError, ValueError):
    """Arrays or layers whose shapes do not fit together."""


class InputError(MinibpError, ValueError):
    """Inputs x that cannot be used: empty, of a wrong type, or with NaN or infinity in them."""


class TargetError(MinibpError, ValueError):
    """Targets t that do not fit the inputs, the number of outputs or the loss."""


class StateError(MinibpError, RuntimeError):
    """A call that is right in itself, but not now: `backward` before `forward`, a layer that is already in use."""


class DivergenceError(MinibpError, ArithmeticError):
    """A loss, a weight or an output is NaN or infinite: a training has diverged, or numbers were too large."""


class BackendError(MinibpError, RuntimeError):
    """The array library asked for cannot be used on this machine."""


class MissingExtraError(MinibpError, ImportError):
    """An optional package is not installed; the message names it, and the extra that brings it."""

    def __init__(self, package: str, extra: str, purpose: str):
        cure = f"pip install {package} (minibp's extra {extra!r} brings it)"  # not minibp[...], for it is in no index
        super().__init__(f"{purpose} needs {package}, which is not installed: {cure}")


class CheckpointError(MinibpError, ValueError):
    """A checkpoint of another training than the one that is to go on; the message lists what differs."""


class CheckpointWarning(UserWarning):
    """A checkpoint was damaged, so that the one before was taken, or could not be written; the training goes on."""


class DataError(MinibpError):
    """Base of the errors of data files."""


class FileFormatError(DataError, ValueError):
    """A file that is not what its name says: truncated, of the wrong kind, or a web page saved as data."""


class OtherFileError(FileFormatError):
    """A file that is whole, but of another kind or a later version than is read here; nothing is written over it."""


class ChecksumError(DataError, ValueError):
    """A file whose contents are not the published ones."""


class DownloadError(DataError, OSError):
    """No mirror could be reached, and the files are not on this machine."""
