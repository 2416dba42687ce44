"""``suspects``: wrong labels of a run come out, and the file goes into ``correct``."""

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from msal_lightning.cli.main import main
from msal_lightning.runs.records import read_records

TINY = ["--trainer.accelerator", "cpu", "--trainer.precision", "32-true", "--loop.query_budget", "0"]
NAMES = ("a", "=b", "rare")


def read(file):
    with file.open(newline="", encoding="utf-8") as text:
        return list(csv.DictReader(text))


def fill(file, answers):
    rows = read(file)
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, rows[0])
        writer.writeheader()
        writer.writerows(row | {"label": answers(row)} for row in rows)


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    """A run on the features of 123 images; rows 0 to 5 have the label of the other class, three are rare."""
    root = tmp_path_factory.mktemp("features")
    draws = np.random.default_rng(0)
    truth = np.array([k % 2 for k in range(120)] + [2, 2, 2])
    given = np.where(np.arange(123) < 6, 1 - truth, truth)
    lines = [f"{k}.png,{NAMES[c]},train\n" for k, c in enumerate(given)]
    lines += [f"test{k}.png,{NAMES[k % 3]},test\n" for k in range(6)]
    noise = draws.normal(size=(123, 6))
    noise[:6] /= 4  # typical of the classes that they really have
    rows = [noise + 4 * np.eye(3, 6)[truth], 4 * np.eye(3, 6)[[0, 1, 2] * 2]]
    np.save(root / "features.npy", np.concatenate(rows).astype(np.float32))
    (root / "labels.csv").write_text("path,label,split\n" + "".join(lines))
    words = ["--config", "embeddings", "--data.root", str(root), *TINY, "--loop.initial_size", "123"]
    assert main(["fit", *words, "--trainer.max_epochs", "1", "--run_dir", str(root / "run")]) == 0
    return root


@pytest.fixture
def run(features, tmp_path):
    return shutil.copytree(features / "run", tmp_path / "run")


def test_wrong_labels_of_features_come_out_and_go_into_correct(run, tmp_path, capsys):
    out = tmp_path / "found" / "check.csv"
    assert main(["suspects", str(run), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "class 'rare' is left out: 3 labels, and 5 are needed" in said
    assert "6 of 120 labels are suspect" in said
    rows = read(out)
    assert {row["path"] for row in rows} == {f"{k}.png" for k in range(6)}
    assert list(rows[0]) == ["path", "given", "suspected", "confidence", "label"]
    assert all({row["given"], row["suspected"]} == {"a", "'=b"} and not row["label"] for row in rows)
    confidence = [float(row["confidence"]) for row in rows]
    assert confidence == sorted(confidence)
    assert confidence[-1] < 0.5
    assert main(["suspects", str(run), "--out", str(out)]) == 2  # a person may have filled it in
    assert main(["correct", str(run), str(out)]) == 2  # all lines are blank
    assert "nothing to do" in capsys.readouterr().err
    fill(out, lambda row: row["suspected"] if row["path"] in ("0.png", "3.png") else "")
    assert main(["correct", str(run), str(out)]) == 0
    assert "2 labels corrected" in capsys.readouterr().out
    assert main(["suspects", str(run), "--out", str(tmp_path / "again"), "--number", "3"]) == 0
    assert "4 of 120 labels are suspect; the 3 most doubtful ones are written" in capsys.readouterr().out
    left = [row["path"] for row in read(tmp_path / "again" / "suspects.csv")]
    assert len(left) == 3
    assert {*left} < {"1.png", "2.png", "4.png", "5.png"}


def test_images_without_files_are_named_by_index_and_shown(tmp_path, capsys):
    run, out = tmp_path / "run", tmp_path / "suspects.csv"
    words = ["--config", "digits", *TINY, "--loop.initial_size", "300", "--model.backbone.width", "4"]
    assert main(["fit", *words, "--trainer.max_steps", "100", "--run_dir", str(run)]) == 0
    labeled = read_records(run)[0].initial
    wrong = {index: str((label + 1) % 10) for index, label in zip(labeled.index[:8], labeled.label[:8], strict=True)}
    (tmp_path / "wrong.csv").write_text("path,label\n" + "".join(f"{k},{c}\n" for k, c in wrong.items()))
    assert main(["correct", str(run), str(tmp_path / "wrong.csv")]) == 0
    assert main(["suspects", str(run), "--out", str(out)]) == 0
    rows = {int(row["path"]): row for row in read(out)}
    assert len(wrong.keys() & rows.keys()) >= 5
    assert all(rows[index]["given"] == wrong[index] for index in wrong.keys() & rows.keys())
    page = out.with_suffix(".html").read_text()
    assert page.count("data:image/png;base64") == len(rows)
    assert main(["correct", str(run), str(out)]) == 2
    fill(out, lambda row: row["suspected"])
    capsys.readouterr()
    assert main(["correct", str(run), str(out)]) == 0
    assert f"{len(rows)} labels corrected" in capsys.readouterr().out


def test_photos_are_on_the_page(tmp_path):
    draws = np.random.default_rng(0)
    for k in range(40):
        pixels = draws.integers(0, 60, (20, 30, 3), dtype=np.uint8)
        pixels[:, :, k % 2] += 150
        name = ("x", "y")[(k % 2 + (k in (7, 12))) % 2]  # two photos in the wrong folder
        (tmp_path / "photos" / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{k:02d}.png")
    run = tmp_path / "run"
    words = ["--config", "image_folder", "--data.root", str(tmp_path / "photos"), "--data.size", "16", *TINY]
    words += ["--loop.initial_size", "all", "--model.backbone", "SmallCNN", "--model.backbone.width", "4"]
    assert main(["fit", *words, "--trainer.max_epochs", "1", "--run_dir", str(run)]) == 0
    photos = (tmp_path / "photos").rename(tmp_path / "moved")
    words = ["suspects", str(run), "--device", "cpu", f"--data.root={photos}"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    rows = read(tmp_path / "out" / "suspects.csv")
    trained = read_records(run)[0].initial.path
    assert {row["path"] for row in rows} == {"y/12.png", "x/07.png"} & {*trained}
    page = (tmp_path / "out" / "suspects.html").read_text()
    data = json.loads(page.partition('type="application/json">')[2].partition("</script>")[0])
    assert [item["file"] for item in data["items"]] == [f"../moved/{row['path']}" for row in rows]
    assert data["command"] == "correct RUN"


def test_mistakes_are_one_sentence(run, tmp_path, capsys):
    def says(*words):
        assert main(["suspects", *map(str, words)]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        return error

    assert "expected a run directory" in says(tmp_path, "--out", tmp_path / "x.csv")
    assert "'cuda:99'" in says(run, "--out", tmp_path / "x.csv", "--device", "cuda:99")
    (tmp_path / "x.html").write_text("mine")
    assert "x.html' exists already" in says(run, "--out", tmp_path / "x.csv")
    (tmp_path / "file").write_text("mine")
    assert "cannot write" in says(run, "--out", tmp_path / "file" / "x.csv")
