"""Running commands that are killed, and comparing what they leave."""

import csv
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

KILL_AT = Path(__file__).with_name("kill_at.py")


@pytest.fixture(scope="session")
def serve(commands):
    """``serve(arguments, folder, spec)``: exit code of a command; its output is appended to ``log`` in the folder."""

    def serve(arguments, folder, spec=None):
        done = commands.run(KILL_AT, json.dumps(spec or {}), *arguments, cwd=folder, timeout=240)
        with (folder / "log").open("a") as log:
            log.write(done.stdout + done.stderr)
        return done.returncode

    return serve


@pytest.fixture(scope="session")
def start():
    """``start(arguments, folder, spec)``: the same as a command of its own; exit code, or an error when it hangs."""

    def start(arguments, folder, spec=None, limit=240):
        with (folder / "log").open("a") as log:
            command = [sys.executable, KILL_AT, json.dumps(spec or {}), *arguments]
            process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)
            code = process.wait(timeout=limit)
        return process.pid, code

    return start


def _what_counts(run):
    rows = csv.DictReader((run / "curve.csv").read_text().splitlines())
    curve = [{key: value for key, value in row.items() if not key.startswith("seconds")} for row in rows]
    (model,) = (run / "checkpoints").iterdir()  # no fit in progress is left
    weights = torch.load(model)["state_dict"]
    return {
        "ledger": (run / "ledger.csv").read_bytes(),
        "curve": curve,
        "weights": {name: tensor.numpy().tobytes() for name, tensor in weights.items()},
        "losses": {
            (file.parent.name, line)
            for file in run.glob("fits/*/metrics.csv")
            for line in file.read_text().splitlines()
        },
    }


@pytest.fixture(scope="session")
def differences():
    """``differences(run, reference)``: names of what is not byte for byte the same in two finished run directories."""

    def differences(run, reference):
        a, b = _what_counts(run), _what_counts(reference)
        return [name for name in a if a[name] != b[name]]

    return differences


@pytest.fixture(scope="session")
def digit_files(tmp_path_factory):
    """Digits as PNG files, which worker processes read."""
    root = tmp_path_factory.mktemp("digits")
    digits = load_digits()
    for i, (pixels, label) in enumerate(zip(digits.images[:700], digits.target, strict=False)):
        folder = root / ("test" if i >= 600 else "train") / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray((pixels * 15).astype("uint8")).save(folder / f"{i}.png")
    return root


@pytest.fixture(scope="session")
def read_wandb():
    """``read_wandb(folder)``: curve, summary, types of artifacts of an offline run, by another test file's reader."""
    file = Path(__file__).parents[1] / "tracking" / "test_wandb_tracker.py"
    spec = importlib.util.spec_from_file_location("tracking", file)
    tracking = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tracking)

    def read(folder):
        (file,) = folder.glob("run-*.wandb")
        records = tracking.parse_wandb(file.read_bytes())
        kinds = [r.artifact.type for r in records if r.WhichOneof("record_type") == "artifact"]
        return tracking.curve(records), tracking.summary(records), sorted(kinds)

    return read
