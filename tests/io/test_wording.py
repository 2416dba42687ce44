"""Numbers with their nouns."""

import pytest

from msal_lightning.io.wording import counted


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [
        (0, "run", "0 runs"),
        (1, "run", "1 run"),
        (2, "class", "2 classes"),
        (1, "class", "1 class"),
        (3, "query", "3 queries"),
        (2400, "image", "2,400 images"),
    ],
)
def test_counted(number, noun, text):
    assert counted(number, noun) == text
