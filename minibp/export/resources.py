"""The files in the folder web: templates, styles, and what runs in a browser."""

from __future__ import annotations

from pathlib import Path


def resource(name: str) -> str:
    """The text of a file."""
    return (Path(__file__).with_name("web") / name).read_text(encoding="utf-8")
