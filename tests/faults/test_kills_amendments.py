"""SIGKILL while a run is amended: the same commands afterwards give what they would have given."""

import csv
import json
import random
import shutil

import pytest
import torch

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


def amended(serve, folder, begun, kills):
    """Give the commands one after the other, each again after a kill."""
    shutil.copytree(begun, folder, dirs_exist_ok=True)
    kills, died = list(kills), 0
    for command in COMMANDS:
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


def contents(run):
    records = [json.loads(file.read_text()) for file in sorted(run.glob("rounds/*.json"))]
    changes = [json.loads(file.read_text()) for file in sorted(run.glob("amendments/*.json"))]
    for body in (*records, *changes):
        for key in ("seconds", "digest", "when"):
            body.pop(key, None)
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
