"""Labels as COCO JSON: one annotation without a box for each image.

[0] https://cocodataset.org/#format-data
"""

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from msal_lightning.data.images.formats import UNREADABLE
from msal_lightning.data.label_files.label_set import LabelSet
from msal_lightning.data.label_files.label_table import Line
from msal_lightning.errors import DataError
from msal_lightning.io.atomic import write_atomically


def is_coco(content: Any) -> bool:
    """Return whether a JSON file has COCO's keys."""
    return isinstance(content, Mapping) and {"images", "annotations", "categories"} <= content.keys()


def read(content: Mapping[str, Any]) -> list[Line]:
    """Return an entry for each image; its label is blank without an annotation.

    Several annotations of an image, boxes for example, must have the same category.

    Raises:
        DataError: an image has annotations of several categories.
        KeyError: a key is missing.
    """
    name_of = {category["id"]: str(category["name"]) for category in content["categories"]}
    named = defaultdict[Any, set[str]](set)
    for annotation in content["annotations"]:
        named[annotation["image_id"]].add(name_of[annotation["category_id"]])
    lines = []
    for number, image in enumerate(content["images"], 1):
        labels = sorted(named[image["id"]])
        if len(labels) > 1:
            raise DataError(
                f"expected one category for the image '{image['file_name']}', got {', '.join(labels)}: keep one of "
                "them, because an image has one label"
            )
        fields = {"path": str(image["file_name"]), "label": "".join(labels), "split": str(image.get("split", ""))}
        lines.append(Line(number, fields, unit="image"))
    return lines


def write(labels: LabelSet, file: Path) -> None:
    """Write images, annotations and categories; ids count from 1, and categories are in the order of the classes.

    An annotation also has round, rank, annotator and score, an image has its split.

    Raises:
        DataError: an image is missing or cannot be read.
    """
    number = {name: c for c, name in enumerate(labels.class_names, 1)}
    images, annotations = [], []
    for k, (row, path) in enumerate(labels.files(), 1):
        width, height = _size(path)
        images.append({"id": k, "file_name": row.path, "width": width, "height": height, "split": row.split})
        more = {"round": row.round, "rank": row.rank, "annotator": row.annotator, "score": row.score}
        annotations.append({"id": k, "image_id": k, "category_id": number[row.label], **more})
    categories = [{"id": c, "name": name, "supercategory": ""} for name, c in number.items()]
    content = {"info": {}, "licenses": [], "images": images, "annotations": annotations, "categories": categories}
    write_atomically(file, json.dumps(content, ensure_ascii=False, indent=1))


def _size(file: Path) -> tuple[int, int]:
    try:
        with Image.open(file) as image:
            return image.size
    except UNREADABLE as error:
        raise DataError(f"cannot read the size of the image '{file}' ({error}): replace it, or use csv") from None
