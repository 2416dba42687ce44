"""``add`` and ``remove`` on a folder of images."""

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from msal_lightning.cli.main import main
from msal_lightning.runs.records import read_records

DIGITS = load_digits()
FIXED = [
    "--config", "digits", "--trainer.max_steps", "6", "--trainer.accelerator", "cpu", "--model.backbone.width", "4",
    "--loop.initial_size", "30", "--loop.query_size", "20", "--query", "Margin", "--data", "ImageFolder",
    "--data.size", "8", "--data.channels", "1", "--data.batch_size", "32",
]  # fmt: skip


def write(folder, rows, by_class):
    """Digits as PNG files with odd names; the class is the folder, or is not known."""
    for i in rows:
        c = DIGITS.target[i]
        file = folder / (f"{c}" if by_class else f"cam {i % 3}") / f"é {(i * 7919) % 100_000} #{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((DIGITS.images[i] * 15).astype(np.uint8)).save(file)


@pytest.fixture
def photos(tmp_path):
    write(tmp_path / "photos", range(300), True)
    return tmp_path / "photos"


def fit(photos, run, *more):
    argv = ["fit", *FIXED, "--data.root", str(photos), "--loop.query_budget", "20", "--run_dir", str(run), *more]
    assert main(argv) == 0
    return argv


def state(run):
    records = [json.loads(file.read_text()) for file in sorted(run.glob("rounds/*.json"))]
    for record in records:
        del record["seconds"], record["digest"]
    return records, (run / "ledger.csv").read_bytes()


def ledger(run):
    return list(csv.DictReader((run / "ledger.csv").read_text().splitlines()))


@pytest.mark.parametrize("in_memory", ["true", "false"])
def test_new_images_are_candidates_of_the_next_query(photos, tmp_path, in_memory, capsys):
    run = tmp_path / "run"
    fit(photos, run, "--data.in_memory", in_memory, "--data.num_workers", "0")
    before, rows = read_records(run), ledger(run)
    write(photos, range(300, 500), True)
    assert main(["extend", str(run), "--labels", "40"]) == 2
    assert "`add" in capsys.readouterr().err  # the remedy
    assert main(["add", str(run), str(photos / "3")]) == 0
    few = json.loads((run / "amendments/002.json").read_text())["change"]
    assert {path.split("/")[0] for _, path, *_ in few["images"]} == {"3"}
    assert main(["add", str(run), str(photos)]) == 0
    assert "200 images" not in capsys.readouterr().out
    assert main(["resume", str(run)]) == 0
    after = read_records(run)
    assert [record.num_labeled for record in after] == [30, 50, 70, 90]
    assert after[0] == before[0]
    assert after[1].metrics == before[1].metrics  # the same test images
    assert after[1].num_pool == before[1].num_pool + 200
    assert ledger(run)[:50] == rows  # the same indices
    new = [row for row in ledger(run) if int(row["index"]) >= 240]
    assert new
    assert all(int(row["path"].rpartition("#")[2].removesuffix(".png")) >= 300 for row in new)
    assert all(row["path"].startswith(row["label"] + "/") for row in ledger(run))
    again = shutil.copytree(run, tmp_path / "again")
    for round in (1, 2, 3):
        (again / f"rounds/{round:03d}.json").unlink()
    shutil.copytree(run / "checkpoints", again / "checkpoints", dirs_exist_ok=True)
    assert main(["resume", str(again)]) == 0  # round 1 is fitted again
    assert state(again) == state(run)


def test_new_images_keep_the_folders_of_merged_classes(photos, tmp_path, capsys):
    run, now = tmp_path / "run", {"3": "both", "8": "both"}
    fit(photos, run, "--loop.query_size", "60", "--loop.query_budget", "0")
    assert main(["classes", str(run), "merge", "3,8", "--into", "both"]) == 0
    write(photos, range(300, 500), True)
    assert main(["add", str(run), str(photos)]) == 0
    assert main(["extend", str(run), "--labels", "60"]) == 0
    records = read_records(run)
    assert [record.num_labeled for record in records] == [30, 30, 90]
    assert records[1].train_class_counts[3] > records[0].train_class_counts[3] + records[0].train_class_counts[8]
    rows = ledger(run)
    folders = [row["path"].split("/")[0] for row in rows]
    assert [row["corrected"] or row["class_name"] for row in rows] == [now.get(name, name) for name in folders]
    assert any(int(row["index"]) >= 240 and now.get(name) for row, name in zip(rows, folders, strict=True))
    write(photos / "more", range(500, 505), False)
    assert main(["add", str(run), str(photos / "more")]) == 2
    assert "expected classes of the run" in capsys.readouterr().err
    shutil.rmtree(photos / "more")
    assert main(["classes", str(run), "split", "both", "--list", str(tmp_path / "list.csv")]) == 0
    page = (tmp_path / "list.html").read_text()
    assert '"allowNew": true' in page.replace('"allowNew":true', '"allowNew": true')
    assert page.count("data:image/") >= len(ledger(run)) / 5  # a picture for each image of the class
    with (tmp_path / "list.csv").open(newline="") as text:
        lines = [(row["path"], row["split"], f"kind {row['path'].split('/')[0]}") for row in csv.DictReader(text)]
    with (tmp_path / "list.csv").open("w", newline="") as out:
        csv.writer(out).writerows([("path", "split", "label"), *lines])
    assert main(["classes", str(run), "split", "both", str(tmp_path / "list.csv")]) == 0
    write(photos, range(500, 700), True)
    assert main(["add", str(run), str(photos / "8")]) == 2
    assert "no new images of '8', since 'both' was split" in capsys.readouterr().err
    assert main(["add", str(run), str(photos / "7")]) == 0


def test_removed_images_never_come_back_and_their_files_may_go(photos, tmp_path, capsys):
    run, file = tmp_path / "run", tmp_path / "out.csv"
    fit(photos, run)
    labeled = [row["path"] for row in ledger(run)][:7]
    known = {row["path"] for row in ledger(run)}
    test = _paths(run, "test")
    pool = sorted({*_paths(run, "train")} - known)[:150]
    with file.open("w", newline="") as out:
        csv.writer(out).writerows([["path"], *([path] for path in [*labeled, *pool])])
    assert main(["remove", str(run), str(file), "--reason", "consent was withdrawn"]) == 0
    assert "157 images removed, 7 of them labeled" in capsys.readouterr().out
    for path in (*labeled, *pool):
        (photos / path).unlink()
    assert main(["extend", str(run), "--labels", "100"]) == 2
    assert "expected at most 40 more labels" in capsys.readouterr().err
    assert main(["extend", str(run), "--labels", "40"]) == 0
    assert [record.num_labeled for record in read_records(run)] == [30, 50, 63, 83]
    assert not {row["path"] for row in ledger(run)[50:]} & {*labeled, *pool}
    assert main(["status", str(run)]) == 0
    assert "consent was withdrawn" in " ".join(capsys.readouterr().out.split())
    for line, said in (
        (labeled[0], "was removed before"),
        (test[0], "is a test image"),
        ("no such.png", "the run has no training image 'no such.png'"),
    ):
        file.write_text(f"path\n{line}\n")
        assert main(["remove", str(run), str(file)]) == 2
        assert said in capsys.readouterr().err
    file.write_text(f"path\n{ledger(run)[60]['path']}\n")
    (photos / ledger(run)[61]["path"]).unlink()
    assert main(["remove", str(run), str(file)]) == 0
    assert main(["extend", str(run), "--labels", "20"]) == 2
    assert "has no image left" in capsys.readouterr().err
    assert main(["finish", str(run)]) == 2
    assert f"found no '{ledger(run)[61]['path']}'" in capsys.readouterr().err  # it was not removed


def _paths(run, part):
    from msal_lightning.data.fingerprint import read_fingerprint

    return [image.path for image in read_fingerprint(run / "images.jsonl.gz") if image.part == part]


def test_a_changed_image_is_noticed_among_added_ones(photos, tmp_path, capsys):
    run = tmp_path / "run"
    fit(photos, run)
    write(photos / "0", [], True)
    shutil.copy(next(iter(sorted(photos.glob("5/*.png")))), photos / "5/new.png")
    assert main(["add", str(run), str(photos)]) == 0
    Image.fromarray(np.full((8, 9), 7, np.uint8)).save(photos / "5/new.png")
    assert main(["extend", str(run), "--labels", "20"]) == 2
    assert "'5/new.png' has other content" in capsys.readouterr().err


def test_people_label_new_images(tmp_path, capsys):
    write(tmp_path / "photos", range(150), False)
    write(tmp_path / "tested", range(150, 250), True)
    run, truth = tmp_path / "run", {f"#{i}.png": str(DIGITS.target[i]) for i in range(500)}
    people = ["--data.unlabeled", "true", "--data.test_root", str(tmp_path / "tested"), "--oracle", "Files"]

    def answer():
        for file in run.glob("queries/*.csv"):
            header, *lines = csv.reader(file.read_text().splitlines())
            lines = [[*line[:-1], truth["#" + line[0].rpartition("#")[2]]] for line in lines]
            with file.open("w", newline="") as out:
                csv.writer(out).writerows([header, *lines])

    fit(tmp_path / "photos", run, *people)
    assert main(["add", str(run), str(tmp_path / "photos")]) == 2
    assert "without one" in capsys.readouterr().err
    answer()
    assert main(["resume", str(run)]) == 0  # waits for round 0's labels
    answer()
    assert main(["resume", str(run)]) == 0
    write(tmp_path / "photos" / "week 2", range(250, 450), False)
    assert main(["add", str(run), str(tmp_path / "elsewhere")]) == 2
    assert main(["add", str(run), str(tmp_path / "photos/week 2")]) == 0
    assert main(["extend", str(run), "--labels", "40"]) == 0
    write(tmp_path / "photos" / "week 3", range(450, 500), False)
    assert main(["add", str(run), str(tmp_path / "photos/week 3")]) == 0  # while a request is open
    answer()
    assert main(["resume", str(run)]) == 0
    answer()
    assert main(["resume", str(run)]) == 0
    assert [record.num_labeled for record in read_records(run)] == [30, 50, 70, 90]
    assert any(row["path"].startswith("week 2/") for row in ledger(run))
    assert all(truth["#" + row["path"].rpartition("#")[2]] == row["label"] for row in ledger(run))
    assert main(["figure", "contact-sheet", str(run), "--out", str(tmp_path / "sheet.png")]) == 0


def test_digits_have_no_files_to_add(tmp_path, capsys):
    run = tmp_path / "run"
    assert main(["fit", *FIXED[:12], "--loop.query_budget", "0", "--run_dir", str(run)]) == 0
    assert main(["add", str(run), str(tmp_path)]) == 2
    assert "expected a run on data ImageFolder or Embeddings for `add`, got Digits" in capsys.readouterr().err
    labeled, other = (
        ledger(run)[4]["index"],
        next(i for i in range(30) if str(i) not in {r["index"] for r in ledger(run)}),
    )
    (tmp_path / "out.csv").write_text(f"path\n{labeled}\n{other}\n")
    assert main(["remove", str(run), str(tmp_path / "out.csv")]) == 0  # but rows that must go
    assert f"2 rows removed, 1 of them labeled: '{labeled}'" in capsys.readouterr().out
    assert main(["extend", str(run), "--labels", "1200"]) == 0
    assert labeled not in {row["index"] for row in ledger(run)[30:]}
    assert str(other) not in {row["index"] for row in ledger(run)}
    assert main(["remove", str(run), str(tmp_path / "out.csv")]) == 2
    assert f"'{labeled}' was removed before" in capsys.readouterr().err
