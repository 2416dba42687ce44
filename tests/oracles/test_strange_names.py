"""Names that look like HTML are text of a contact sheet: another parser finds the same elements as with plain names."""

from collections import Counter
from html.parser import HTMLParser

import numpy as np
from PIL import Image

from msal_lightning.oracles.base import LabelingBatch, LabelingTask
from msal_lightning.oracles.csv_files.contact_sheet import write_sheet

STRANGE = "</script><img src=x onerror=alert(1)><!--"


class Elements(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found = Counter()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found[tag] += 1
        self.found.update(key for key, _ in attrs if key.startswith("on"))


def sheet(name, folder):
    folder.mkdir()
    Image.fromarray(np.zeros((8, 8), dtype=np.uint8)).save(folder / "0.png")
    items = (LabelingTask(0, f"{name}.png", folder / "0.png", name, 1.0, 0.5, 0),)
    write_sheet(LabelingBatch("initial", items, (name, "b"), folder), folder / "initial.html")
    return (folder / "initial.html").read_text()


def test_a_contact_sheet(tmp_path):
    plain, strange = sheet("a", tmp_path / "plain"), sheet(STRANGE, tmp_path / "strange")
    assert "onerror" in strange
    assert Elements(strange).found == Elements(plain).found
