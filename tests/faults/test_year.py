"""An ecologist's year by the public commands: labels, new photos, wrong labels, more labels, predictions, a move."""

import csv
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

pytestmark = pytest.mark.faults
DIGITS = load_digits()
ANIMALS = ["Reh", "Fuchs", "Dachs", "Hase", "Igel", "Marder", "Wildschwein", "Luchs", "Wolf", "Bär"]
SMALL = {"Hase": "Kleintier", "Igel": "Kleintier"}  # merged in June
FIT = [
    "fit", "--config", "image_folder", "--data.root", "photos", "--data.size", "8", "--data.channels", "1",
    "--data.unlabeled", "true", "--data.classes", str(ANIMALS), "--loop.held_out", "20", "--loop.initial_size", "60",
    "--loop.query_size", "20", "--loop.query_budget", "60", "--loop.checkpoint_seconds", "0", "--oracle", "Files",
    "--model.backbone", "SmallCNN", "--model.backbone.width", "4", "--trainer.max_epochs", "2",
    "--trainer.accelerator", "cpu", "--trainer.precision", "32-true", "--run_dir", "wild",
]  # fmt: skip
LABEL = ["resume", "wild"]  # after a person has answered
STORY = [
    FIT, LABEL, LABEL, LABEL, LABEL,
    ["add", "wild", "photos/2026-06 Juni"],
    ["correct", "wild", "corrected.csv", "--reason", "Reh und Hase"],
    ["classes", "wild", "merge", "Hase,Igel", "--into", "Kleintier", "--reason", "nachts zu ähnlich"],
    ["extend", "wild", "--labels", "30"], LABEL, LABEL,
    ["remove", "wild", "gone.csv"],
    ["finish", "wild"],
    ["predict", "wild", "new", "--out", "predicted.csv"],
    ["export", "wild", "--format", "state-dict"],
    ["labels", "wild", "--out", "labels.csv", "--format", "csv"],
    ["move"],
    ["extend", "wild", "--labels", "20", "--data.root", "disk/photos"],
    ["resume", "wild", "--data.root", "disk/photos"],
]  # fmt: skip
KILLS = [  # two instants in each step, as far as the step comes to them; the step is given again after each
    ["before fit", "replace 000.json"],
    ["after the amendment", "derive tables"],
    ["take answers over", "after the record"],
    ["before the amendment", "write round-003.ckpt"],
]


def photos(folder, rows):
    for i in rows:
        file = folder / f"Kamera {i % 3} (Süd)" / f"IMG #{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((DIGITS.images[i] * 15).astype(np.uint8)).save(file)


def number_of(path):
    return int(path.rpartition("#")[2].removesuffix(".png"))


def kind_of(path):
    return ANIMALS[DIGITS.target[number_of(path)]]


def answer(folder):
    merged = any(json.loads(file.read_text())["kind"] == "classes" for file in folder.glob("wild/amendments/*.json"))
    for file in (folder / "wild/queries").glob("*.csv"):
        header, *lines = csv.reader(file.read_text(encoding="utf-8-sig").splitlines())
        label = header.index("label")
        for line in lines:
            kind = kind_of(line[header.index("path")])
            line[label] = SMALL.get(kind, kind) if merged else kind
        with file.open("w", newline="", encoding="utf-8") as out:
            csv.writer(out).writerows([header, *lines])


def ledger(run):
    return list(csv.DictReader((run / "ledger.csv").read_text().splitlines()))


def begin(folder):
    photos(folder / "photos/2026-05", range(150))
    photos(folder / "new", range(300, 330))


def prepare(folder, command):
    """What happens outside the program before a command."""
    run = folder / "wild"
    if command[0] == "resume":
        answer(folder)
    elif command[0] == "add":
        photos(folder / "photos/2026-06 Juni", range(150, 190))
    elif command[0] in ("correct", "remove"):
        rows = ledger(run)[3:8] if command[0] == "correct" else ledger(run)[30:33]
        with (folder / command[2]).open("w", newline="") as out:
            csv.writer(out).writerows([["path", "label"], *([row["path"], "Luchs"] for row in rows)])


def live(serve, folder, kills=()):
    """Go through the year; each command is killed at the given instants, as far as it comes to them."""
    begin(folder)
    died = 0
    for command in STORY:
        prepare(folder, command)
        if command == ["move"]:
            (folder / "disk").mkdir()
            shutil.move(folder / "photos", folder / "disk/photos")
            continue
        for point in (*kills, None):
            code = serve(command, folder, {"point": point, "note": str(folder / "note")} if point else None)
            log = (folder / "log").read_text().rstrip()
            repeated = log.endswith("nothing to do") or "was removed before" in log or "already" in log
            assert code in (0, -9) or repeated, log
            died += code == -9
            if command[0] in ("labels", "predict", "correct", "remove", "add", "classes") and code == 0:
                break
    return died


def contents(folder):
    run = folder / "wild"
    records = [json.loads(file.read_text()) for file in sorted(run.glob("rounds/*.json"))]
    changes = [json.loads(file.read_text()) for file in sorted(run.glob("amendments/*.json"))]
    for body in (*records, *changes):
        for key in ("seconds", "digest", "when"):
            body.pop(key, None)
        body.get("change", {}).pop("reopened", None)  # a digest of the record, seconds included
        for image in body.get("change", {}).get("images", []):
            image[4] = 0  # when the file was written
    weights = {file.name: torch.load(file)["state_dict"] for file in run.glob("checkpoints/*")}
    return {
        "records": records,
        "changes": changes,
        "ledger": (run / "ledger.csv").read_bytes(),
        "predicted": (folder / "predicted.csv").read_bytes(),
        "labels": (folder / "labels.csv").read_bytes(),
        "weights": {(file, name): value.numpy().tobytes() for file, s in weights.items() for name, value in s.items()},
    }


@pytest.fixture(scope="module")
def year(serve, tmp_path_factory):
    folder = tmp_path_factory.mktemp("year")
    assert live(serve, folder) == 0
    return folder


def test_a_year(year):
    run = year / "wild"
    records = [json.loads(file.read_text()) for file in sorted(run.glob("rounds/*.json"))]
    assert [record["num_labeled"] for record in records] == [60, 80, 100, 120, 120, 140, 150, 147, 167]
    assert [len(record["test_classes"]["images"]) for record in records] == [10] * 4 + [9] * 5
    rows = ledger(run)
    truth = {row["path"]: SMALL.get(kind_of(row["path"]), kind_of(row["path"])) for row in rows}
    later = [int(row["round"]) > 4 for row in rows]
    assert [row["class_name"] for row in rows] == [
        truth[row["path"]] if after else kind_of(row["path"]) for row, after in zip(rows, later, strict=True)
    ]
    small = [row for row, after in zip(rows, later, strict=True) if truth[row["path"]] == "Kleintier" and not after]
    assert {row["corrected"] for row in small} <= {"Kleintier", "Luchs"}
    assert [row["corrected"] or row["class_name"] for row in rows[3:8]] == ["Luchs"] * 5
    assert any(row["path"].startswith("2026-06 Juni/") for row in rows)
    with (year / "labels.csv").open(newline="", encoding="utf-8-sig") as text:
        labels = {row["path"]: row["label"] for row in csv.DictReader(text)}
    gone = {row["path"] for row in rows[30:33]}
    corrected = {row["path"]: row["corrected"] for row in rows if row["corrected"]}
    assert labels == {path: corrected.get(path, truth[path]) for path in truth if path in labels}
    assert len(labels) == 147
    assert not gone & labels.keys()
    with (year / "predicted.csv").open(newline="", encoding="utf-8-sig") as text:
        predicted = {row["path"]: row["class"] for row in csv.DictReader(text)}
    assert len(predicted) == 30
    assert {*predicted.values()} <= {*ANIMALS, "Kleintier"} - {*SMALL}
    card = json.loads((run / "export/card-state-dict.json").read_text())
    assert card["classes"] == ["Reh", "Fuchs", "Dachs", "Kleintier", *ANIMALS[5:]]
    assert [one["name"] for one in card["test"]["classes"]] == card["classes"]


def test_its_pages_tell_the_merged_class(year, serve):
    assert serve(["status", "wild"], year) == 0
    said = " ".join((year / "log").read_text().split())
    assert "9 classes: 4 120" in said
    assert "classes 'Hase', 'Igel' merged into 'Kleintier' (known from round 4 on)" in said
    assert serve(["report", "wild", "--out", "report"], year) == 0
    page = (year / "report/report.html").read_text()
    assert "round 4 on, with 9 classes" in page
    assert "Kleintier" in page
    assert "Hase" not in page
    assert serve(["plot", "wild", "--out", "curve.svg"], year) == 0
    picture = (year / "curve.svg").read_text()
    assert "before, with 10 classes" in picture
    assert "with 9 classes" in picture
    assert serve(["suspects", "wild", "--out", "suspects.csv", "--data.root", "disk/photos"], year) == 0
    assert "Hase" not in (year / "suspects.html").read_text()


@pytest.mark.parametrize("kills", KILLS, ids=lambda kills: kills[0])
def test_a_year_with_kills_in_every_step(kills, year, serve, tmp_path):
    assert live(serve, tmp_path, kills) >= 2
    ours, whole = contents(tmp_path), contents(year)
    assert [name for name in ours if ours[name] != whole[name]] == []
