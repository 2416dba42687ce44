"""``add`` on folders of features."""

import csv
import json

import numpy as np
import pytest
from sklearn.datasets import load_digits

from msal_lightning.cli.main import main
from msal_lightning.runs.records import read_records

DIGITS = load_digits()
FIXED = [
    "--config", "embeddings", "--trainer.max_steps", "30", "--trainer.accelerator", "cpu", "--loop.initial_size", "30",
    "--loop.query_size", "20", "--loop.query_budget", "40", "--query", "Margin", "--data.test_fraction", "0.3",
]  # fmt: skip


def write(folder, rows, label=True, width=64):
    """Digits as features, with a class by name and the file behind each row."""
    folder.mkdir(parents=True)
    np.save(folder / "features.npy", DIGITS.data[rows, :width].astype(np.float32) / 16)
    with (folder / "labels.csv").open("w", newline="") as file:
        lines = [(f"{i}.png", f"d{DIGITS.target[i]}" if label else "") for i in rows]
        csv.writer(file).writerows([("path", "label"), *lines])


def ledger(run):
    return list(csv.DictReader((run / "ledger.csv").read_text().splitlines()))


@pytest.fixture
def run(tmp_path, capsys):
    write(tmp_path / "features", range(400))
    argv = ["fit", *FIXED, "--data.root", str(tmp_path / "features"), "--run_dir", str(tmp_path / "run")]
    assert main(argv) == 0
    return tmp_path / "run"


def test_new_rows_are_candidates_of_the_next_query_and_nothing_else_changes(run, tmp_path, capsys):
    before, rows = read_records(run), ledger(run)
    write(tmp_path / "features/week 12", range(400, 700))
    write(tmp_path / "features/week 13", range(700, 900))
    for name in ("week 12", "week 13"):
        assert main(["add", str(run), str(tmp_path / "features" / name), "--reason", "June"]) == 0
    said = capsys.readouterr().out
    assert "300 rows added from 'week 12'" in said
    assert "200 rows added from 'week 13'" in said
    assert main(["extend", str(run), "--labels", "40"]) == 0
    records = read_records(run)
    assert [r.num_labeled for r in records] == [30, 50, 70, 90, 110]
    assert [r.metrics for r in records[:3]] == [r.metrics for r in before]
    first = records[0].num_pool + 30
    assert records[3].num_pool == first - 90 + 500
    assert ledger(run)[:70] == rows
    new = [row for row in ledger(run)[70:] if int(row["index"]) >= first]
    assert new  # some of them are queried
    for row in new:
        i = int(row["index"]) - first + 400  # they follow the training split in order
        assert (row["path"], row["class_name"]) == (f"week {12 + (i >= 700)}/{i}.png", f"d{DIGITS.target[i]}")
    assert main(["resume", str(run)]) == 0  # the images are those that the run knows
    features = np.load(tmp_path / "features/week 13/features.npy")
    np.save(tmp_path / "features/week 13/features.npy", features[::-1])
    assert main(["extend", str(run), "--labels", "10"]) == 2
    assert "'week 13/features.npy' has other content" in capsys.readouterr().err


def test_a_killed_run_knows_its_rows(run, tmp_path):
    write(tmp_path / "features/more", range(400, 700))
    assert main(["add", str(run), str(tmp_path / "features/more")]) == 0
    assert main(["extend", str(run), "--labels", "20"]) == 0
    whole = json.loads((run / "rounds/003.json").read_text())
    (run / "rounds/003.json").unlink()
    assert main(["resume", str(run)]) == 0
    again = json.loads((run / "rounds/003.json").read_text())
    assert [again[key] for key in ("metrics", "num_pool", "initial")] == [
        whole[key] for key in ("metrics", "num_pool", "initial")
    ]


def test_what_does_not_fit_is_refused(run, tmp_path, capsys):
    root = tmp_path / "features"
    write(tmp_path / "elsewhere", range(400, 420))
    write(root / "narrow", range(400, 420), width=32)
    write(root / "known", range(380, 420))
    write(root / "blank", range(400, 420), label=False)
    write(root / "new class", [*range(400, 420)])
    (root / "new class/labels.csv").write_text("path,label\n" + "".join(f"{i}.png,cat\n" for i in range(20)))
    for folder, message in (
        (tmp_path / "elsewhere", "a folder of its own below data.root"),
        (root, "a folder of its own below data.root"),
        (root / "narrow", "expected 64 features"),
        (root / "blank", "labels of all rows"),
        (root / "new class", "'cat'"),
    ):
        assert main(["add", str(run), str(folder)]) == 2
        assert message in capsys.readouterr().err
    assert not (run / "amendments").exists()
