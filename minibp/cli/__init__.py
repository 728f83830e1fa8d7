"""The command line, python -m minibp, and what all programs share: options, progress, and how they end."""

from .program import (
    PICTURES,
    epoch_bar,
    exit_status,
    import_plotting,
    import_report,
    new_picture,
    nonempty,
    parse_options,
    save_picture,
    saved_at_interrupt,
    told,
    warnings_as_lines,
)

__all__ = [
    "PICTURES",
    "epoch_bar",
    "exit_status",
    "import_plotting",
    "import_report",
    "new_picture",
    "nonempty",
    "parse_options",
    "save_picture",
    "saved_at_interrupt",
    "told",
    "warnings_as_lines",
]
