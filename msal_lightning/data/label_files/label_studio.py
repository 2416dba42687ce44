"""Labels as tasks of Label Studio: its JSON for import, and the JSON of its export.

[0] https://labelstud.io/guide/tasks
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from msal_lightning.data.label_files.label_set import LabelSet
from msal_lightning.data.label_files.label_table import Line
from msal_lightning.data.places import SKIP, UNSURE
from msal_lightning.errors import DataError
from msal_lightning.io.atomic import write_atomically

CONTROL, IMAGE, NEW_CONTROL = "label", "image", "new_class"
REASON_OF = {f"({SKIP})": SKIP, f"({UNSURE})": UNSURE}
"""Choices that stand for a reason; the parentheses distinguish them from a class named skip."""
NEW = "(new class)"
LOCAL_FILES = "/data/local-files/?d={path}"
"""Address of an image below the document root of a server with local files."""
_UPLOADED = re.compile(r"/data/upload/\d+/[0-9a-f]{8}-(?P<name>.+)")


def choice(class_name: str) -> dict[str, Any]:
    """Return a chosen class in Label Studio's format."""
    return {"from_name": CONTROL, "to_name": IMAGE, "type": "choices", "value": {"choices": [class_name]}}


def vote(annotation: Mapping[str, Any], control: str = CONTROL) -> tuple[str, bool] | None:
    """Read one submitted annotation.

    Args:
        annotation: annotation in the server's format.
        control: name of the choices on the page.

    Returns:
        The choice or new class, and whether it is a new class; None for an empty annotation.
    """
    if annotation.get("was_cancelled"):  # Label Studio's own button
        return f"({SKIP})", False
    said = {part.get("from_name"): part.get("value") or {} for part in annotation.get("result") or []}
    choices = said.get(control, {}).get("choices") or []
    if len(choices) != 1:
        return None
    if choices[0] != NEW:
        return choices[0], False
    text = said.get(NEW_CONTROL, {}).get("text") or ""
    written = " ".join(text if isinstance(text, list) else [text]).strip()
    return (written, True) if written else None


def is_label_studio(content: Any) -> bool:
    """Return whether a JSON file is a list of tasks."""
    return isinstance(content, list) and all(isinstance(task, Mapping) and "data" in task for task in content)


def read(content: list[Mapping[str, Any]]) -> list[Line]:
    """Return an entry for each task; its label is blank without an annotation.

    Raises:
        DataError: annotators of a task disagree, or the address of an image does not tell its path.
    """
    lines = []
    for number, task in enumerate(content, 1):
        path = _path(task["data"], number)
        given = [
            said for annotation in task.get("annotations") or () if (said := vote(annotation, _control(annotation)))
        ]
        labels = sorted({text if is_new else REASON_OF.get(text, text) for text, is_new in given})
        if len(labels) > 1:
            raise DataError(
                f"expected one label for the image '{path}', got {', '.join(labels)} from {len(given)} annotations: "
                "keep one of them in Label Studio"
            )
        fields = {"path": path, "label": "".join(labels), "split": str(task["data"].get("split", ""))}
        lines.append(Line(number, fields, unit="task"))
    return lines


def write(labels: LabelSet, file: Path, image_url: str = LOCAL_FILES) -> None:
    """Write one task for each image, with its annotation.

    The file can be imported into a project whose page has ``<Choices name="label" toName="image">``.

    Args:
        labels: labels of image files.
        file: the file.
        image_url: address of the images, with ``{path}`` in it.

    Raises:
        DataError: an image is missing.
    """
    tasks = []
    for row, _ in labels.files():
        fields = {"split": row.split, "round": row.round, "rank": row.rank, "score": row.score}
        data = {IMAGE: image_url.replace("{path}", quote(row.path or "")), "path": row.path, **fields}
        data |= {"annotator": row.annotator} if row.annotator else {}
        known = {name: value for name, value in data.items() if value is not None}
        tasks.append({"data": known, "annotations": [{"result": [choice(row.label)]}]})
    write_atomically(file, json.dumps(tasks, ensure_ascii=False, indent=1))


def _control(annotation: Mapping[str, Any]) -> str:
    """Return the name of the choices in an annotation of any project."""
    names = [part.get("from_name") for part in annotation.get("result") or () if "choices" in (part.get("value") or {})]
    return CONTROL if CONTROL in names or len({*names}) != 1 else str(names[0])


def _path(data: Mapping[str, Any], number: int) -> str:
    """Return the path of a task's image: our own field, or a part of the image's address."""
    if "path" in data:
        return str(data["path"])
    address = urlsplit(str(data.get(IMAGE, "")))
    if name := parse_qs(address.query).get("d"):
        return name[0]
    if found := _UPLOADED.fullmatch(address.path):
        return unquote(found["name"])
    if address.path and not address.scheme:
        return unquote(address.path)
    raise DataError(
        f"expected task {number} to tell which image it is of, got the address '{data.get(IMAGE, '')}': add a field "
        "path to its data"
    )
