"""Names that look like HTML are text of a page: another parser finds the same elements as with plain names."""

from collections import Counter
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from msal_lightning.cli.main import main
from msal_lightning.models.class_results import ClassResults
from msal_lightning.oracles.base import LabelingBatch, LabelingTask
from msal_lightning.oracles.csv_files.contact_sheet import write_sheet
from msal_lightning.runs.directory import RunDirectory
from msal_lightning.runs.records import LabeledImages, RoundRecord

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
    Image.fromarray(np.zeros((8, 8), dtype=np.uint8)).save(folder / "0.png")
    items = (LabelingTask(0, f"{name}.png", folder / "0.png", name, 1.0, 0.5, 0),)
    write_sheet(LabelingBatch("initial", items, (name, "b"), folder), folder / "initial.html")
    return (folder / "initial.html").read_text()


def report(name, folder):
    """The page of a run whose classes, images, strategy and dataset have the name, beside an unfinished one."""
    options = {"initial_size": 2, "query_size": 2, "query_budget": 2}
    config = {"data": {"class_path": f"mine.{name}"}, "query": {"class_path": f"mine.{name}"}, "loop": options}
    for seed, rounds in ((0, 2), (1, 2), (2, 1)):
        run = RunDirectory(folder / f"{name.replace('/', '∕')}{seed}", {"seed": seed, **config})
        run.open()
        for k in range(rounds):
            initial = LabeledImages([0, 1], [0, 1]) if k == 0 else LabeledImages()
            run.commit(
                RoundRecord(
                    k, 2 + 2 * k, 9, {"accuracy": 0.5}, {"fit": 1.0}, None, [1, 1],
                    LabeledImages([2 + k], [1], None, [name]), initial, {}, class_names=[name, "b"],
                    test_classes=ClassResults([4, 0], [2, 2], [2, 0], None, ["0:2 1:2", ""]),
                )
            )  # fmt: skip
        run.close()
    assert main(["report", str(folder), "--out", str(folder / "out")]) == 0
    return (folder / "out" / "report.html").read_text()


@pytest.mark.parametrize("page", [sheet, report])
def test_a_page(page, tmp_path):
    for name in ("plain", "strange"):
        (tmp_path / name).mkdir()
    plain, strange = page("plain", tmp_path / "plain"), page(STRANGE, tmp_path / "strange")
    assert "onerror" in strange
    assert Elements(strange).found == Elements(plain).found
