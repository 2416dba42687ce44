"""The contact sheet of a question."""

from pathlib import Path

from msal_lightning.oracles.base import Question


def write_sheet(question: Question, file: Path) -> None:
    """Write the page of a question; its own file replaces this place holder."""
