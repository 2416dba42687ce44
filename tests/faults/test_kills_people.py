"""SIGKILL around questions and answers: a person in the loop loses nothing, and is asked the same once more."""

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

pytestmark = pytest.mark.faults

MOST = 20  # commands until a run must be at its end


KILLS = {
    "before the first question is kept": ["replace initial.asked.json"],
    "between the question and its sheet": ["write initial.html"],
    "between sheet and CSV": ["replaced initial.html"],
    "while the CSV is written": ["replace initial.csv"],
    "before the run says that it waits": ["before it says that it waits"],
    "before the answers are kept": ["keep the answers"],
    "after the answers are kept": ["answers are kept"],
    "between skipped images": ["skip an image#2"],
    "while the question for replacements is written": ["write initial.asked.json#2"],
    "before the question for replacements is kept": ["replace initial.asked.json#2"],
    "before a round's model is saved": ["write round-000.ckpt"],
    "between the model and the round's question": ["ask about a round"],
    "while the model selects again": ["choose again"],
    "before the record": ["replace 000.json"],
    "between the record and the end of its question": ["drop requests"],
    "between the two questions of round 0": ["drop a request#2"],
    "three times while answers are taken over": ["take answers over"] * 3,
}


HELD_OUT = {
    "before labels are held out": ["hold labels out"],
    "after labels were held out": ["before fit"],
    "between the model and round 0's question, with labels held out": ["ask about a round"],
    "while labels held out are read from the record": ["restore held-out labels"],
    "before the record with labels held out": ["replace 000.json"],
}


SHARED = {
    "between the files of two annotators": ["replaced round-000.anna.csv"],
    "while the list of disagreements is written": ["replace initial-disagreements.csv"],
    "before the answers of two annotators are kept": ["keep the answers"],
    "after the answers of two annotators are kept": ["answers are kept"],
    "before the record with votes": ["replace 000.json"],
    "between the record with votes and the end of its question": ["drop requests"],
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Digits as PNG files without labels, and what a person knows of them."""
    folder, digits, truth = tmp_path_factory.mktemp("photos"), load_digits(), {}
    for i in range(300):
        c = digits.target[i]
        file = folder / (f"test/{c}/{i}.png" if i < 60 else f"pool/{i}.png")
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((digits.images[i] * 15).astype(np.uint8)).save(file)
        truth[file.name] = str(c)
    return folder, truth


@pytest.fixture(scope="module")
def command(photos):
    folder, _ = photos
    return [
        "fit", "--config", "digits", "--run_dir", "run", "--loop.initial_size", "20", "--loop.query_size", "15",
        "--loop.query_budget", "30", "--loop.checkpoint_seconds", "0", "--trainer.max_epochs", "2",
        "--trainer.accelerator", "cpu", "--model.backbone.width", "4", "--query", "Entropy", "--data", "ImageFolder",
        "--data.root", str(folder / "pool"), "--data.test_root", str(folder / "test"), "--data.size", "8",
        "--data.channels", "1", "--data.batch_size", "16", "--data.unlabeled", "true", "--oracle", "Files",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def holding_out(command):
    """The same without a test set."""
    at = command.index("--data.test_root")
    more = ["--data.classes", str([str(c) for c in range(10)]), "--loop.held_out", "6"]
    return [*command[:at], *command[at + 2 :], *more]


@pytest.fixture(scope="module")
def sharing(command):
    """The same with two annotators, who label some of the images both."""
    return [*command, "--oracle.annotators", "[anna, ben]", "--oracle.overlap", "1", "--oracle.resolve", "quality"]


def person(folder, truth):
    """Fill in whatever is waited for; every image whose number divides by 7 is skipped.

    Ben takes those for ones whose number divides by 4.
    """
    for file in (folder / "run" / "queries").glob("*.csv"):
        with file.open(newline="") as text:
            header, *lines = csv.reader(text)
        path = header.index("path")
        for line in lines:
            number = int(line[path].split(".")[0])
            line[-1] = "skip" if number % 7 == 0 else truth[line[path]]
            if ".ben." in file.name and number % 4 == 0:
                line[-1] = "1"
        with file.open("w", newline="") as out:
            csv.writer(out, lineterminator="\n").writerows([header, *lines])


def until_done(serve, command, folder, truth, kills=()):
    """Repeat the command, the person answering after each; the kills come as soon as their instant is met."""
    kills, killed = list(kills), 0
    for _ in range(MOST):
        spec = {"point": kills[0], "note": str(folder / "note")} if kills else None
        code = serve(command, folder, spec)
        assert code in ((0, -9) if kills else (0,)), (folder / "log").read_text()
        if code == -9:
            kills.pop(0)
            killed += 1
            continue
        if (folder / "run/rounds/002.json").exists():
            assert not kills, "the instant was never met"
            return killed
        person(folder, truth)
    raise AssertionError((folder / "log").read_text())


def contents(run):
    """All that should be the same after an interruption, by name."""
    records = {file.name: json.loads(file.read_text()) for file in run.glob("rounds/*.json")}
    for record in records.values():
        del record["seconds"], record["digest"]
    weights = torch.load(run / "checkpoints" / "round-002.ckpt")["state_dict"]
    return {
        "files": sorted(str(file.relative_to(run)) for file in run.rglob("*")),
        "ledger": (run / "ledger.csv").read_bytes(),
        "records": records,
        "questions": {file.name: file.read_bytes() for file in (run / "queries").glob("*.csv")},
        "weights": {name: tensor.numpy().tobytes() for name, tensor in weights.items()},
    }


@pytest.fixture(scope="module")
def whole(serve, command, photos, tmp_path_factory):
    """What the uninterrupted run leaves."""
    folder = tmp_path_factory.mktemp("whole")
    assert until_done(serve, command, folder, photos[1]) == 0
    left = contents(folder / "run")
    assert {"initial-2.csv", "round-000-2.csv"} <= {*left["questions"]}  # something was skipped
    return left


@pytest.mark.parametrize("name", KILLS)
def test_a_kill_while_a_person_is_asked_changes_nothing(name, serve, command, photos, whole, faults_table, tmp_path):
    killed = until_done(serve, command, tmp_path, photos[1], KILLS[name])
    left = contents(tmp_path / "run")
    changed = [what for what in whole if left[what] != whole[what]]
    faults_table(
        "SIGKILL while a person labels",
        {"instant": name, "kills": killed, "changed": ", ".join(changed) or "nothing"},
    )
    assert changed == []


@pytest.fixture(scope="module")
def whole_held_out(serve, holding_out, photos, tmp_path_factory):
    """What the uninterrupted run without a test set leaves."""
    folder = tmp_path_factory.mktemp("whole_held_out")
    assert until_done(serve, holding_out, folder, photos[1]) == 0
    left = contents(folder / "run")
    assert len(left["records"]["000.json"]["held_out"]["index"]) == 6
    return left


@pytest.mark.parametrize("name", HELD_OUT)
def test_a_kill_holds_the_same_labels_out(name, serve, holding_out, photos, whole_held_out, faults_table, tmp_path):
    killed = until_done(serve, holding_out, tmp_path, photos[1], HELD_OUT[name])
    left = contents(tmp_path / "run")
    changed = [what for what in whole_held_out if left[what] != whole_held_out[what]]
    faults_table(
        "SIGKILL while a person labels",
        {"instant": name, "kills": killed, "changed": ", ".join(changed) or "nothing"},
    )
    assert changed == []


@pytest.fixture(scope="module")
def whole_shared(serve, sharing, photos, tmp_path_factory):
    """What the uninterrupted run of two annotators leaves."""
    folder = tmp_path_factory.mktemp("whole_shared")
    assert until_done(serve, sharing, folder, photos[1]) == 0
    left = contents(folder / "run")
    assert {*left["records"]["000.json"]["votes"]["annotator"]} == {"anna", "ben"}
    assert {"initial.anna.csv", "round-000.ben.csv", "initial-disagreements.csv"} <= {*left["questions"]}
    return left


@pytest.mark.parametrize("name", SHARED)
def test_a_kill_keeps_what_each_annotator_said(name, serve, sharing, photos, whole_shared, faults_table, tmp_path):
    killed = until_done(serve, sharing, tmp_path, photos[1], SHARED[name])
    left = contents(tmp_path / "run")
    changed = [what for what in whole_shared if left[what] != whole_shared[what]]
    faults_table(
        "SIGKILL while a person labels",
        {"instant": name, "kills": killed, "changed": ", ".join(changed) or "nothing"},
    )
    assert changed == []
