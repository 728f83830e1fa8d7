"""Change what is in a saved network or a checkpoint, as someone might who knows the format."""

from minibp.base import write_atomically
from minibp.files import tensorfile


def rewrite(path, kind, change):
    """Change the contents and the arrays of a file, and give it a checksum that fits."""
    contents, arrays = tensorfile.read(path, kind)
    change(contents, arrays)
    write_atomically(path, tensorfile.to_bytes(kind, contents, arrays))


def put(*path_and_value):
    """A change of the contents: this value at this place."""
    *path, last, value = path_and_value

    def change(contents, arrays):
        for key in path:
            contents = contents[key]
        contents[last] = value

    return change


def state(*path_and_value):
    """A change of a checkpoint: this value at this place of the state, such as "optimizer", "steps"."""
    return put("state", *path_and_value)


def schedule(name, **numbers):
    """A change of a checkpoint: another schedule."""

    def change(contents, arrays):
        state = contents["state"]["optimizer"]
        for key in [key for key in state if key.startswith("schedule.")]:
            del state[key]
        state.update({f"schedule.{key}": value for key, value in {"class": name, **numbers}.items()})

    return change


def array(name, values):
    """A change of an array: these values, or none."""
    return lambda contents, arrays: arrays.pop(name) if values is None else arrays.update({name: values})
