"""The errors that minibp raises on purpose, in one tree: `except MinibpError` catches them all.

Most also derive from the built-in exception that a Python programmer would expect. A message says what was received,
what was expected, and what to do. The warnings form a tree of their own, under `MinibpWarning`.
"""


class MinibpError(Exception):
    """Base of all errors of minibp."""


class ArgumentError(MinibpError, ValueError):
    """An argument is outside its range, or two arguments contradict each other."""


class UnknownNameError(ArgumentError):
    """A name (of a model, an optimizer, a backend, ...) does not exist; the message lists those that do."""

    def __init__(self, kind: str, name: object, known: "list[str] | tuple[str, ...]"):
        super().__init__(f"unknown {kind} {name!r}: choose one of {', '.join(map(str, known))}")


class ShapeError(MinibpError, ValueError):
    """The shapes of arrays or layers do not fit together."""


class InputError(MinibpError, ValueError):
    """Inputs x cannot be used: they are empty, have the wrong type, or hold NaN or infinity."""


class TargetError(MinibpError, ValueError):
    """Targets t do not fit the inputs, the number of outputs or the loss."""


class StateError(MinibpError, RuntimeError):
    """A call that is not possible now: `backward` before `forward`, a layer that already belongs to a network."""


class DivergenceError(MinibpError, ArithmeticError):
    """A loss, a weight or an output is NaN or infinite: the training has diverged, or numbers were too large."""


class BackendError(MinibpError, RuntimeError):
    """The requested array library, or MPI, cannot be used on this machine."""


class MissingExtraError(MinibpError, ImportError):
    """An optional package is not installed; the message names it and the extra that installs it."""

    def __init__(self, package: str, extra: str, purpose: str):
        quoted = f'"{package}"' if ">" in package else package  # else a shell would write a file of that name
        cure = f"pip install {quoted} (minibp's extra {extra!r} installs it)"  # not minibp[...]: it is not on PyPI
        super().__init__(f"{purpose} needs {package}, which is not installed: {cure}")


class NotWritableError(MinibpError, PermissionError):
    """A file cannot be written: it is read-only, or there is a folder, a pipe or a device in its place."""


class CheckpointError(MinibpError, ValueError):
    """A checkpoint belongs to another training; the message says what differs, or who else writes to it."""


class RankError(MinibpError, RuntimeError):
    """Of a training on several processes, one has failed, left the loop, or was started otherwise than the others."""


class MinibpWarning(UserWarning):
    """Base of all warnings of minibp."""


class CheckpointWarning(MinibpWarning):
    """A checkpoint is damaged, cannot be written, sets a network back or is of another BLAS. The training continues."""


class TrainingWarning(MinibpWarning):
    """A training with these data and settings learns badly, slowly or not at all; the message says what to do."""


class DataError(MinibpError):
    """Base of all errors about data files."""


class FileFormatError(DataError, ValueError):
    """A file cannot be read: it is truncated, of the wrong format, or a web page saved under its name."""


class OtherFileError(FileFormatError):
    """A file is intact but of another kind or a later version. It is never overwritten."""


class ChecksumError(DataError, ValueError):
    """The contents of a file are not the published ones."""


class DownloadError(DataError, OSError):
    """The files are not on this machine, and no mirror delivered them."""
