"""The file of an amendment: written once, atomically, with a digest against changes by hand."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from msal_lightning.errors import RunError
from msal_lightning.io.atomic import write_atomically
from msal_lightning.io.json_files import read_json
from msal_lightning.io.kill_points import kill_point
from msal_lightning.io.typed import check_types
from msal_lightning.runs.amendments.add import Add
from msal_lightning.runs.amendments.add_rows import AddRows
from msal_lightning.runs.amendments.base import Change
from msal_lightning.runs.amendments.correct import Correct
from msal_lightning.runs.amendments.extend import Extend
from msal_lightning.runs.amendments.finish import Finish
from msal_lightning.runs.amendments.reclass import Reclass
from msal_lightning.runs.amendments.remove import Remove
from msal_lightning.runs.amendments.remove_rows import RemoveRows
from msal_lightning.runs.records import digest_of

FORMAT = 1
"""Format number of an amendment; a change that older versions cannot read increments it."""
FOLDER = "amendments"
"""Folder of the files, in the run directory."""
FILES = (rf"{FOLDER}/[0-9]{{3,}}\.json",)
"""Patterns of these files, see :mod:`~msal_lightning.io.own_files`."""
_KINDS: dict[str, type[Change]] = {
    "extend": Extend,
    "finish": Finish,
    "correct": Correct,
    "add-rows": AddRows,
    "add": Add,
    "remove": Remove,
    "remove-rows": RemoveRows,
    "classes": Reclass,
}


@dataclass(frozen=True)
class Amendment:
    """One change, and the circumstances in which it was made.

    Attributes:
        number: 1 for the first amendment of a run.
        when: date and time with the offset from UTC, as in ISO 8601.
        before_round: first round without a record at that time; the fits from this round on know the change.
        before_query: whether the last recorded round had made no query then, as the last round of a run. If it makes
            one after all, because the run is extended, this query knows the change.
        reason: the person's words; may be empty.
        change: the change.
    """

    number: int
    when: str
    before_round: int
    before_query: bool
    reason: str
    change: Change


def amendment_file(run: Path, number: int) -> Path:
    """Return the path of an amendment's file."""
    return run / FOLDER / f"{number:03d}.json"


def write_amendment(run: Path, amendment: Amendment) -> Path:
    """Write a new file; the caller holds the lock of the run.

    Args:
        run: the run directory.
        amendment: its number follows the last one.

    Raises:
        RunError: the file cannot be written.
    """
    kind = next(name for name, kind in _KINDS.items() if type(amendment.change) is kind)
    body = {**asdict(amendment), "kind": kind}
    file = amendment_file(run, amendment.number)
    kill_point("before the amendment")
    try:
        file.parent.mkdir(exist_ok=True)
        write_atomically(file, json.dumps({"format": FORMAT, "digest": digest_of(body), **body}, indent=1))
    except OSError as error:
        raise RunError(f"cannot write '{file}' ({error.strerror or error}): make the run directory writable") from None
    kill_point("after the amendment")
    return file


def read_amendment(file: Path) -> Amendment:
    """Read the amendment in a file.

    Raises:
        RunError: the file is damaged, was changed by hand, or is from a later version.
    """
    remedy = "restore a copy of it, since later rounds rely on it"
    try:
        body = read_json(file)
        version, digest = body.pop("format"), body.pop("digest")
    except PermissionError as error:
        raise RunError(f"cannot read the amendment '{file}' ({error.strerror}): make the file readable") from None
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        raise RunError(f"the amendment '{file}' is damaged: {remedy}") from None
    if version != FORMAT or body.get("kind") not in _KINDS:
        raise RunError(
            f"expected the amendment '{file}' in format {FORMAT} with a kind of this version, got format {version} and "
            f"{body.get('kind')}: use the version of msal_lightning that wrote it"
        )
    if digest != digest_of(body):
        raise RunError(f"the amendment '{file}' was changed after it was written: {remedy}")
    try:
        return _amendment_of(body)
    except (TypeError, ValueError, KeyError, AttributeError):
        raise RunError(f"the amendment '{file}' is damaged: {remedy}") from None


def _amendment_of(body: dict[str, Any]) -> Amendment:
    change = _KINDS[body.pop("kind")](**body.pop("change"))
    amendment = Amendment(change=change, **body)
    check_types(change)
    check_types(amendment)
    return amendment
