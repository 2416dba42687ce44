"""The annotators' page in Label Studio."""

from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

from msal_lightning.data.label_files.label_studio import CONTROL, IMAGE, NEW, NEW_CONTROL, REASON_OF, choice
from msal_lightning.errors import AnnotationError


def labeling_config(class_names: Sequence[str], allow_new_classes: bool = False) -> str:
    """Return the XML of the page: the image, one choice for each class, one to skip, one for unsure.

    Args:
        class_names: classes in the order of the choices.
        allow_new_classes: add a choice that opens a text field.

    Raises:
        AnnotationError: a class name cannot be used there.
    """
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Image", name=IMAGE, value=f"${IMAGE}")
    control = ElementTree.SubElement(
        view, "Choices", name=CONTROL, toName=IMAGE, choice="single", showInline="true", required="true"
    )
    for name in _choices(class_names, allow_new_classes):
        ElementTree.SubElement(control, "Choice", value=name)
    if allow_new_classes:
        _add_text_field(view)
    return ElementTree.tostring(view, encoding="unicode")


def completed_config(present: str, class_names: Sequence[str], allow_new_classes: bool = False) -> str:
    """Add missing choices to the page of an existing project; manual changes stay.

    Args:
        present: XML of the existing page.
        class_names: classes that the page must offer.
        allow_new_classes: whether the page must have a text field.

    Returns:
        XML of the completed page; ``present`` itself if nothing is missing.

    Raises:
        AnnotationError: the page is not for labeling images with classes.
    """
    try:
        view = ElementTree.fromstring(present or "<View/>")
    except ElementTree.ParseError:
        view = ElementTree.Element("View", what="unreadable")
    if view.tag == "View" and not len(view) and not view.attrib:  # a project without a page yet
        return labeling_config(class_names, allow_new_classes)
    control = next((node for node in view.iter("Choices") if node.get("name") == CONTROL), None)
    image = next((node for node in view.iter("Image") if node.get("value") == f"${IMAGE}"), None)
    if control is None or image is None:
        raise AnnotationError(
            f"expected the project of oracle.project to have <Choices name='{CONTROL}'> and an <Image> with "
            f"value='${IMAGE}' in its labeling configuration, got another configuration: set oracle.project to an "
            "unused title, and the project is created"
        )
    there = {node.get("value") for node in control.iter("Choice")}
    missing = [name for name in _choices(class_names, allow_new_classes) if name not in there]
    field = any(node.get("name") == NEW_CONTROL for node in view.iter("TextArea"))
    if not missing and (field or not allow_new_classes):
        return present
    for name in missing:
        ElementTree.SubElement(control, "Choice", value=name)
    if allow_new_classes and not field:
        _add_text_field(view)
    return ElementTree.tostring(view, encoding="unicode")


def _choices(class_names: Sequence[str], allow_new_classes: bool) -> list[str]:
    own = [*REASON_OF, NEW]
    for name in class_names:
        if name in own:
            raise AnnotationError(
                f"expected no class with the name '{name}', which Label Studio's page needs: rename the class"
            )
        if any((ord(letter) < 32 and letter not in "\t\n\r") or ord(letter) in (0xFFFE, 0xFFFF) for letter in name):
            raise AnnotationError(
                f"expected class names without control characters, got {name!r}, which XML cannot hold: rename the "
                "class"
            )
    return [*class_names, *(own if allow_new_classes else REASON_OF)]


def _add_text_field(view: ElementTree.Element) -> None:
    seen = {"visibleWhen": "choice-selected", "whenTagName": CONTROL, "whenChoiceValue": NEW}
    ElementTree.SubElement(
        view,
        "TextArea",
        {"name": NEW_CONTROL, "toName": IMAGE, "placeholder": "name of the new class", **seen},
        rows="1",
        maxSubmissions="1",
        editable="true",
        required="true",
    )


def prediction(class_name: str, confidence: float | None, version: str) -> dict[str, Any]:
    """Return the model's prediction in Label Studio's format; annotators see it preselected."""
    return {"model_version": version, "score": confidence, "result": [choice(class_name)]}
