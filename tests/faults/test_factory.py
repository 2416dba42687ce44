"""A factory line with 1 % defects by the public commands: numbers of each class are those of a count by hand."""

import csv
import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import balanced_accuracy_score, precision_recall_fscore_support

from msal_lightning.cli.main import main

pytestmark = pytest.mark.slow
FIT = [
    "fit", "--config", "image_folder", "--data.root", "line", "--data.size", "8", "--data.channels", "1",
    "--data.validation_fraction", "0.3", "--data.sampling", "balanced", "--query", "Margin", "--model.head", "linear",
    "--loop.initial_size", "300", "--loop.query_size", "50", "--loop.query_budget", "100", "--model.backbone",
    "SmallCNN", "--model.backbone.width", "8", "--trainer.max_epochs", "10", "--trainer.accelerator", "cpu",
    "--trainer.precision", "32-true", "--data.augmentation", "null", "--run_dir", "run",
]  # fmt: skip


def is_defect(k):
    return k % 100 == 7


def photograph(numbers):
    """Grey noise; a defect is a bright spot in it."""
    for k in numbers:
        draw = np.random.default_rng(k)
        pixels = draw.normal(120, 20, (8, 8))
        if is_defect(k):
            x, y = draw.integers(1, 6, 2)
            pixels[x : x + 2, y : y + 2] += 60
        file = f"line/{'defect' if is_defect(k) else 'ok'}/{k:05}.png"
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file)


def table(file):
    return list(csv.DictReader(Path(file).read_text(encoding="utf-8-sig").splitlines()))


def write(file, *lines):
    Path(file).write_text("".join(f"{line}\n" for line in lines))


def truth(path):
    return "defect" if is_defect(int(path.rpartition("/")[2].removesuffix(".png"))) else "ok"


class Line:
    """What a person counts by hand, beside what the program says."""

    def __init__(self):
        self.corrected, self.removed = {}, set()

    def labels(self):
        return {
            row["path"]: self.corrected.get(row["path"], truth(row["path"]))
            for row in table("run/ledger.csv")
            if row["path"] not in self.removed
        }

    def check(self, step, capsys):
        """Compare the last round with the hand count, and its test with predictions for the test images."""
        labels = self.labels()
        rows = table("run/per_class.csv")[-2:]
        for row in rows:
            assert int(row["labeled"]) == sum(name == row["name"] for name in labels.values()), step
        with gzip.open("run/images.jsonl.gz", "rt") as lines:
            tested = [image[1] for image in map(json.loads, lines) if image[0] == "test"]
        write("test.csv", "path", *tested)
        assert main(["predict", "run", "test.csv", "--root", "line", "--out", f"{step}.csv"]) == 0
        said = {row["path"]: row["class"] for row in table(f"{step}.csv")}
        true, found = [truth(path) for path in tested], [said[path] for path in tested]
        precision, recall, f1, support = precision_recall_fscore_support(true, found, labels=["defect", "ok"])
        for c, row in enumerate(rows):
            assert int(row["test"]) == support[c]
            got = [float(row[key] or "nan") for key in ("precision", "recall", "f1")]
            expected = [precision[c], recall[c], f1[c]]
            assert got == pytest.approx(expected, abs=1e-5, nan_ok=True), step
        curve = table("run/curve.csv")[-1]
        assert float(curve["balanced_accuracy"]) == pytest.approx(balanced_accuracy_score(true, found), abs=1e-5)
        capsys.readouterr()
        assert main(["status", "run"]) == 0
        shown = next(line.split() for line in capsys.readouterr().out.splitlines() if line.split()[:1] == ["defect"])
        assert int(shown[3]) == sum(name == "defect" for name in labels.values()), step
        assert float(shown[5]) == pytest.approx(recall[0], abs=5e-4)
        return {row["path"]: truth(row["path"]) for row in table("run/ledger.csv")}

    def exported(self, step):
        """Compare the written labels with the hand count."""
        assert main(["labels", "run", "--out", f"labels-{step}.csv"]) == 0
        written = {row["path"]: row["label"] for row in table(f"labels-{step}.csv")}
        assert written == self.labels(), step


def test_numbers_of_a_rare_class_are_true_at_every_step(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("ok", "defect"):
        (tmp_path / "line" / name).mkdir(parents=True)
    photograph(range(3000))
    line = Line()

    assert main(FIT) == 0
    first = line.check("first", capsys)
    line.exported("first")
    assert 3 <= sum(name == "defect" for name in first.values()) < 40
    start = [truth(row["path"]) for row in table("run/ledger.csv")[:300]]
    row = table("run/per_class.csv")[0]
    assert (row["name"], int(row["labeled"])) == ("defect", start.count("defect"))

    wrong = [path for path, name in first.items() if name == "ok"][5:9]  # somebody calls four scratches defects
    write("wrong.csv", "path,label", *(f"{path},defect" for path in wrong))
    assert main(["correct", "run", "wrong.csv"]) == 0
    line.corrected = dict.fromkeys(wrong, "defect")
    line.exported("corrected")
    assert main(["extend", "run", "--labels", "50"]) == 0
    line.check("corrected", capsys)

    photograph(range(3000, 3400))
    assert main(["add", "run", "line"]) == 0
    assert main(["extend", "run", "--labels", "50", "--again"]) == 0
    second = line.check("added", capsys)
    line.exported("added")
    assert any(path[-9:] >= "03000.png" for path in second)

    gone = [path for path, name in second.items() if name == "defect"][:2]
    write("gone.csv", "path", *gone)
    assert main(["remove", "run", "gone.csv"]) == 0
    line.removed = {*gone}
    assert main(["extend", "run", "--labels", "50", "--again"]) == 0
    line.check("removed", capsys)
    line.exported("removed")

    assert main(["threshold", "run", "--class", "defect"]) == 0
    chosen = json.loads((tmp_path / "run/threshold.json").read_text())
    assert main(["predict", "run", "test.csv", "--root", "line", "--out", "decided.csv", "--threshold"]) == 0
    rows = table("decided.csv")
    true, found = [truth(row["path"]) for row in rows], [row["class"] for row in rows]
    precision, recall, _, support = precision_recall_fscore_support(true, found, labels=["defect", "ok"])
    said = chosen["test"]["threshold"]
    assert (said["precision"], said["recall"]) == pytest.approx((precision[0], recall[0]))
    assert chosen["test"]["of_class"] == support[0]
    assert said["balanced_accuracy"] >= chosen["test"]["most_probable"]["balanced_accuracy"] - 0.02
