"""``add`` on folders of features."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from msal_lightning.cli.main import main
from msal_lightning.runs.records import read_records

DIGITS = load_digits()
FIXED = [
    "--config", "embeddings", "--trainer.max_steps", "30", "--trainer.accelerator", "cpu", "--loop.initial_size", "30",
    "--loop.query_size", "20", "--loop.query_budget", "40", "--query", "Margin", "--data.test_fraction", "0.3",
]  # fmt: skip


def write(folder, rows, label=True, width=64, site=lambda i: i // 20):
    """Digits as features, with a class by name, the file behind each row, and the site where it was taken."""
    folder.mkdir(parents=True)
    np.save(folder / "features.npy", DIGITS.data[rows, :width].astype(np.float32) / 16)
    with (folder / "labels.csv").open("w", newline="") as file:
        lines = [(f"{i}.png", f"d{DIGITS.target[i]}" if label else "", f"site {site(i)}") for i in rows]
        csv.writer(file).writerows([("path", "label", "site"), *lines])


def pictures(folder, rows):
    for i in rows:
        Image.fromarray((DIGITS.images[i] * 15).astype(np.uint8)).save(folder / f"{i}.png")


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


def test_new_rows_join_the_groups_of_the_run(tmp_path, capsys):
    """A site that was only tested on stays so, and a new site is trained on."""
    root, run = tmp_path / "features", tmp_path / "run"
    write(root, range(400), label=False)
    people = ["--data.group", "site", "--loop.held_out", "10", "--oracle", "Files", "--data.test_fraction", "0.2"]
    people += ["--data.classes", json.dumps([f"d{c}" for c in range(10)])]
    argv = ["fit", *FIXED[:-2], *people, "--data.root", str(root), "--run_dir", str(run)]

    def answer():
        for file in run.glob("queries/*.csv"):
            header, *lines = csv.reader(file.read_text().splitlines())
            lines = [[*line[:-1], f"d{DIGITS.target[int(Path(line[0]).stem)]}"] for line in lines]
            with file.open("w", newline="") as out:
                csv.writer(out).writerows([header, *lines])

    pictures(root, range(400))
    for _ in range(3):
        assert main(argv) == 0
        answer()
    tested = {index // 20 for index in read_records(run)[0].held_out.index}
    queried = {index // 20 for record in read_records(run) if record.queried for index in record.queried.index}
    assert tested
    assert not tested & queried
    write(root / "more", range(400, 800), label=False, site=lambda i: (i - 400) // 20 if i < 700 else i // 20)
    pictures(root / "more", range(400, 800))
    assert main(["add", str(run), str(root / "more")]) == 0
    assert main(["extend", str(run), "--labels", "20"]) == 0
    answer()
    assert main(["resume", str(run)]) == 0
    only_tested = sum(i < 700 and (i - 400) // 20 in tested for i in range(400, 800))
    assert only_tested > 0
    last = read_records(run)[-1]
    assert last.num_labeled - 10 + last.num_pool == 400 - 20 * len(tested) + 400 - only_tested
    text = (root / "more/labels.csv").read_text()
    (root / "more/labels.csv").write_text(text.replace("site 39", "site 3"))
    assert main(["extend", str(run), "--labels", "30"]) == 2
    assert "the group of 'more/features.npy' is another one" in capsys.readouterr().err


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


def test_rows_are_removed_by_path_and_stay_in_their_file(run, tmp_path, capsys):
    write(tmp_path / "features/more", range(400, 700))
    assert main(["add", str(run), str(tmp_path / "features/more")]) == 0
    before, file = ledger(run), tmp_path / "gone.csv"
    gone = [before[3]["path"], before[65]["path"], "more/401.png", "more/402.png"]
    file.write_text("path\n" + "\n".join(gone) + "\n")
    assert main(["remove", str(run), str(file), "--data.root", str(tmp_path / "features")]) == 0
    assert "4 rows removed, 2 of them labeled" in capsys.readouterr().out
    left = read_records(run)[0].num_pool + 30 + 300 - 4
    assert main(["extend", str(run), "--labels", str(left - 68 + 1)]) == 2
    assert f"expected at most {left - 68} more labels" in capsys.readouterr().err
    assert main(["extend", str(run), "--labels", str(left - 68)]) == 0
    after = [row["path"] for row in ledger(run)]
    assert len({*after} - {*gone}) == left  # every other row, of both folders
    assert {*after} & {*gone} == {*gone[:2]}  # their labels stay in the records
    assert read_records(run)[-1].num_labeled == left
    file.write_text("path\nno such.png\n" + gone[0] + "\n")
    assert main(["remove", str(run), str(file)]) == 2
    said = capsys.readouterr().err
    assert "no training image 'no such.png'" in said
    assert "was removed before" in said


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
