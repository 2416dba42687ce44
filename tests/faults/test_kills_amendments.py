"""SIGKILL while a run is amended: the same commands afterwards give what they would have given."""

import csv
import json
import random
import shutil

import pytest
import torch

from msal_lightning.datasets import Digits

pytestmark = pytest.mark.faults

FIT = [
    "fit", "--config", "digits", "--run_dir", "run", "--loop.query_size", "20", "--loop.query_budget", "40",
    "--loop.checkpoint_seconds", "0", "--trainer.max_steps", "6", "--trainer.accelerator", "cpu",
    "--model.backbone.width", "4",
]  # fmt: skip
POINTS = [
    "before the amendment", "write 001.json", "replace 001.json", "replaced 001.json", "after the amendment",
    "before fit", "replace 002.json", "replaced 002.json",
    "derive tables", "drop requests", "drop checkpoints", "drop a checkpoint", "write round-002.ckpt",
    "replace round-003.ckpt", "after the record", "after the record#2", "before the end is told",
]  # fmt: skip
CLASS_POINTS = [
    "before the amendment", "write 001.json", "replaced 001.json", "after the amendment", "before fit", "before fit#2",
    "replace 003.json", "replaced 003.json", "derive tables", "append to ledger.csv", "write round-003.ckpt",
    "after the record", "after the record#2", "before the end is told",
]  # fmt: skip
LINES = 16  # random lines of `extend`


@pytest.fixture(scope="module")
def begun(serve, tmp_path_factory):
    """A finished run, and a file of corrections for it."""
    folder = tmp_path_factory.mktemp("begun")
    assert serve(FIT, folder) == 0, (folder / "log").read_text()
    rows = list(csv.DictReader((folder / "run/ledger.csv").read_text().splitlines()))[40:44]
    lines = [f"{row['index']},{(int(row['label']) + 1) % 10}\n" for row in rows]
    (folder / "corrected.csv").write_text("path,label\n" + "".join(lines))
    return folder


COMMANDS = [
    ["correct", "run", "corrected.csv"],
    ["extend", "run", "--labels", "40"],
]


CLASSES = [
    ["classes", "run", "merge", "3,8", "--into", "38"],
    ["resume", "run"],
    ["classes", "run", "rename", "0=zero"],
    ["extend", "run", "--labels", "20"],
    ["classes", "run", "split", "38", "split.csv"],
    ["extend", "run", "--labels", "20"],
]


def amended(serve, folder, begun, kills, commands=COMMANDS):
    """Give the commands one after the other, each again after a kill."""
    shutil.copytree(begun, folder, dirs_exist_ok=True)
    kills, died = list(kills), 0
    for command in commands:
        while True:
            spec = {**kills[0], "note": str(folder / "note")} if kills else None
            code = serve(command, folder, spec)
            if code == -9:
                kills.pop(0)
                died += 1
                continue
            log = (folder / "log").read_text()
            assert code == 0 or (died and log.rstrip().endswith("got none: nothing to do")), log
            break
    assert serve(["resume", "run"], folder) == 0
    return died


def list_of_split(folder):
    """The images of the merged class by index, even ones apart from odd ones."""
    data = Digits()
    data.setup()
    parts = [("train", data.hidden_labels.all()), ("test", data.test.label)]
    rows = [(k, part) for part, labels in parts for k, c in enumerate(labels.tolist()) if c in (3, 8)]
    lines = [f"{k},{part},{'even' if k % 2 == 0 else 'odd'}\n" for k, part in rows]
    (folder / "split.csv").write_text("path,split,label\n" + "".join(lines))


def contents(run):
    records = [json.loads(file.read_text()) for file in sorted(run.glob("rounds/*.json"))]
    changes = [json.loads(file.read_text()) for file in sorted(run.glob("amendments/*.json"))]
    for body in (*records, *changes):
        for key in ("seconds", "digest", "when"):
            body.pop(key, None)
        body.get("change", {}).pop("reopened", None)  # a digest of the record, seconds included
    weights = {file.name: torch.load(file)["state_dict"] for file in run.glob("checkpoints/*")}
    return {
        "files": sorted(str(file.relative_to(run)) for file in run.rglob("*")),
        "records": records,
        "changes": changes,
        "ledger": (run / "ledger.csv").read_bytes(),
        "weights": {(file, name): value.numpy().tobytes() for file, s in weights.items() for name, value in s.items()},
    }


@pytest.fixture(scope="module")
def whole(serve, begun, tmp_path_factory):
    """What the commands give without a kill."""
    folder = tmp_path_factory.mktemp("whole")
    assert amended(serve, folder, begun, []) == 0
    return contents(folder / "run")


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_a_named_instant(point, begun, whole, serve, tmp_path):
    assert amended(serve, tmp_path, begun, [{"point": point}]) == 1, "the instant was never met"
    assert contents(tmp_path / "run") == whole


@pytest.fixture(scope="module")
def whole_of_classes(serve, begun, tmp_path_factory):
    """What the changes of classes give without a kill."""
    folder = tmp_path_factory.mktemp("classes")
    list_of_split(begun)
    assert amended(serve, folder, begun, [], CLASSES) == 0
    found = contents(folder / "run")
    assert [len(record["test_classes"]["images"]) for record in found["records"]] == [10, 10, 10, 9, 9, 10, 10]
    return found


@pytest.mark.parametrize("point", CLASS_POINTS)
def test_a_kill_while_classes_change(point, begun, whole_of_classes, serve, tmp_path):
    assert amended(serve, tmp_path, begun, [{"point": point}], CLASSES) == 1, "the instant was never met"
    assert contents(tmp_path / "run") == whole_of_classes


def test_a_saved_fit_of_former_classes_is_not_resumed(begun, whole_of_classes, serve, tmp_path):
    shutil.copytree(begun, tmp_path, dirs_exist_ok=True)
    assert serve(CLASSES[0], tmp_path) == 0
    assert serve(CLASSES[1], tmp_path, {"point": "after fit"}) == -9  # its fit is saved
    assert serve(["classes", "run", "rename", "1=one"], tmp_path) == 0
    assert serve(["resume", "run"], tmp_path) == 0
    assert "round 3 resumes after its fit" in (tmp_path / "log").read_text()
    shutil.rmtree(tmp_path / "run")
    shutil.copytree(begun, tmp_path, dirs_exist_ok=True)
    assert serve(CLASSES[0], tmp_path) == 0
    assert serve(CLASSES[1], tmp_path, {"point": "after fit"}) == -9
    assert serve(["classes", "run", "merge", "1,2", "--into", "12"], tmp_path) == 0
    assert serve(["resume", "run"], tmp_path) == 0
    assert "the fit of round 3 starts again" in (tmp_path / "log").read_text()


def test_kills_at_any_line_of_an_extension(begun, whole, serve, tmp_path_factory):
    folder = tmp_path_factory.mktemp("count")
    shutil.copytree(begun, folder, dirs_exist_ok=True)
    assert serve(COMMANDS[0], folder) == 0
    assert serve(COMMANDS[1], folder, {"count": str(folder / "count")}) == 0
    lines, draw = json.loads((folder / "count").read_text()), random.Random(0)
    phases = [(phase, count) for phase, count in lines.items() if count]
    for k in range(LINES):
        phase, count = phases[k % len(phases)]
        folder = tmp_path_factory.mktemp("killed")
        shutil.copytree(begun, folder, dirs_exist_ok=True)
        assert serve(COMMANDS[0], folder) == 0
        spec = {"phase": phase, "event": draw.randint(1, count), "note": str(folder / "note")}
        assert serve(COMMANDS[1], folder, spec) in (-9, 0)
        assert serve(COMMANDS[1], folder) == 0, (folder / "log").read_text()
        assert contents(folder / "run") == whole, (phase, spec)
