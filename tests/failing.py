"""Functions that fail, to take the place of others."""


def failing(error):
    """A function that raises this error, whatever its arguments are."""

    def fail(*_, **__):
        raise error

    return fail
