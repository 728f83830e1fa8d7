"""Change what is in a saved network or a checkpoint, as someone might who knows the format."""

from minibp.files import tensorfile


def rewrite(path, kind, change):
    """Change the contents and the arrays of a file, and give it a checksum that fits."""
    contents, arrays = tensorfile.read(path, kind)
    change(contents, arrays)
    tensorfile.write(path, kind, contents, arrays)


def put(*path_and_value):
    """A change of the contents: this value at this place."""
    *path, last, value = path_and_value

    def change(contents, arrays):
        for key in path:
            contents = contents[key]
        contents[last] = value

    return change


def attribute(thing, name, value):
    """A change of a checkpoint: another value of this attribute of a layer, the optimizer, the schedule and so on."""
    return put("objects", thing, 3, name, value)


def schedule(name, **numbers):
    """A change of a checkpoint: another schedule."""
    return put("objects", "schedule", ["object", name, 0, numbers])
