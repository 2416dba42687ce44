"""The page that annotators see: read back by another XML parser, and what annotations say."""

from xml.dom import minidom

import pytest

from msal_lightning.data.label_files.label_studio import vote
from msal_lightning.errors import UserError
from msal_lightning.oracles.label_studio.labeling_config import completed_config, labeling_config, prediction

STRANGE = [
    "cat",
    "<b>&amp;\"x\"'y'",
    "line\nbreak\ttab",
    "日本語 🐈",
    "$image",
    "skip",
    "]]>",
    "--",
    "  spaces  ",
    "a,b;c",
]


def choices(config):
    control = next(n for n in minidom.parseString(config).getElementsByTagName("Choices"))
    assert control.getAttribute("name") == "label"
    return [choice.getAttribute("value") for choice in control.getElementsByTagName("Choice")]


def test_strange_class_names_come_back_as_they_were():
    assert choices(labeling_config(STRANGE)) == [*STRANGE, "(skip)", "(unsure)"]


def test_the_text_field_is_there_only_when_new_classes_may_come():
    assert "TextArea" not in labeling_config(["cat"])
    page = minidom.parseString(labeling_config(["cat"], allow_new_classes=True))
    (field,) = page.getElementsByTagName("TextArea")
    assert field.getAttribute("whenChoiceValue") == choices(page.toxml())[-1] == "(new class)"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the SDK's own
def test_the_sdk_of_label_studio_takes_the_page_and_the_prediction():
    interface = pytest.importorskip("label_studio_sdk.label_interface").LabelInterface(labeling_config(STRANGE, True))
    interface.validate()
    for name in STRANGE:
        assert not interface.validate_prediction(prediction(name, 0.5, "x"), return_errors=True), name


@pytest.mark.parametrize("name", ["(skip)", "(unsure)", "(new class)", "a\x01b", "a\x00"])
def test_names_that_cannot_stand_there_are_refused(name):
    with pytest.raises(UserError, match="rename the class"):
        labeling_config(["cat", name])


def test_a_page_is_completed_and_keeps_what_a_person_changed():
    by_hand = labeling_config(["cat"]).replace("<View>", '<View><Header value="Look twice"/>')
    assert completed_config(by_hand, ["cat"]) == by_hand
    completed = completed_config(by_hand, ["cat", "dog"], allow_new_classes=True)
    assert sorted(choices(completed)) == sorted(["cat", "dog", "(skip)", "(unsure)", "(new class)"])
    assert "Look twice" in completed
    assert "TextArea" in completed
    assert completed_config(completed, ["cat", "dog"], allow_new_classes=True) == completed


@pytest.mark.parametrize("empty", ["", "<View></View>", "<View/>"])
def test_a_project_without_a_page_gets_one(empty):
    assert completed_config(empty, ["cat"]) == labeling_config(["cat"])


@pytest.mark.parametrize("other", ["<View><Text name='t' value='$text'/></View>", "no XML"])
def test_a_page_for_something_else_is_left_alone(other):
    with pytest.raises(UserError, match=r"set oracle\.project"):
        completed_config(other, ["cat"])


@pytest.mark.parametrize(
    ("annotation", "said"),
    [
        ({"result": [], "was_cancelled": True}, ("(skip)", False)),
        ({"result": []}, None),
        ({"result": None}, None),
        ({"result": [{"from_name": "label", "value": {"choices": ["cat"]}}]}, ("cat", False)),
        ({"result": [{"from_name": "other", "value": {"choices": ["cat"]}}]}, None),
        ({"result": [{"from_name": "label", "value": {"choices": ["cat", "dog"]}}]}, None),
        ({"result": [{"from_name": "label", "value": {"choices": ["(new class)"]}}]}, None),
        (
            {
                "result": [
                    {"from_name": "new_class", "value": {"text": [" bird "]}},
                    {"from_name": "label", "value": {"choices": ["(new class)"]}},
                ]
            },
            ("bird", True),
        ),
    ],
)
def test_what_an_annotation_says(annotation, said):
    assert vote(annotation) == said
