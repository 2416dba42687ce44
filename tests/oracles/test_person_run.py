"""What else works with a run whose labels came from a person."""

import csv
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from msal_lightning.cli.main import main
from msal_lightning.cli.status import status
from msal_lightning.datasets import FashionMNIST
from msal_lightning.runs.records import read_records

PERSON = ["--data.unlabeled", "true", "--oracle", "Files"]
FASHION_MNIST = os.environ.get("FASHION_MNIST", "")


def rows(file):
    with file.open(newline="") as text:
        return list(csv.DictReader(text))


def test_two_processes_wait_and_go_on_together(photos, options, person, tmp_path, commands):
    run, (folder, truth) = tmp_path / "run", photos
    lines = [f"{path},{truth[path]}\n" for path in sorted(truth)[:30]]
    (folder / "known.csv").write_text("path,label\n" + "".join(lines))  # the initial set
    two = ["--trainer.devices", "2", "--trainer.strategy", "ddp", "--run_dir", str(run)]
    known = ["--data.csv", str(folder / "known.csv"), "--loop.query_budget", "20"]
    command = ["-m", "msal_lightning", *options(*PERSON, *known, *two)]
    said = []
    for name in ("round-000", "round-000-2", None):
        done = commands.run(*command, cwd=tmp_path, ranks=2)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        said.append([line for line in done.stdout.splitlines() if line.startswith("waiting for")])
        if name is not None:
            file = run / f"queries/{name}.csv"
            person(file, {rows(file)[0]["path"]: "skip"} if name == "round-000" else None)
    assert said == [
        [f"waiting for {n} label{'s' * (n > 1)} in {run}/queries/{name}.csv"]
        for n, name in ((20, "round-000"), (1, "round-000-2"))
    ] + [[]]
    assert [record.num_labeled for record in read_records(run)] == [30, 50]
    assert len(rows(run / "ledger.csv")) == 50


@pytest.mark.slow
def test_two_processes_end_alike_where_a_file_is_broken(options, person, tmp_path, commands):
    two = ["--trainer.devices", "2", "--trainer.strategy", "ddp", "--run_dir", str(tmp_path / "run")]
    command = ["-m", "msal_lightning", *options(*PERSON, *two)]
    assert commands.run(*command, cwd=tmp_path, ranks=2).returncode == 0
    file = tmp_path / "run/queries/initial.csv"
    person(file, dict.fromkeys([rows(file)[0]["path"]], "horse"))
    done = commands.run(*command, cwd=tmp_path, ranks=2)
    assert done.returncode == 2
    assert done.stderr.count("error: ") == done.stderr.count("the class 'horse' is not known") == 1


@pytest.fixture(scope="module")
def finished(photos_in, options_in, person_of, tmp_path_factory, until_done):
    """A run in which an image was skipped and a class was new, what was said of them, and its options."""
    folder, truth = photos_in(tmp_path_factory.mktemp("finished"))
    run, seen, options, person = folder / "run", {}, options_in(folder), person_of(truth)

    def answer(file):
        if file.name == "round-000.csv" and not seen:
            paths = [row["path"] for row in rows(file)]
            seen.update({paths[2]: "skip", paths[5]: "letter"})
        person(file, seen)

    until_done(options(*PERSON, "--oracle.allow_new_classes", "true"), run, answer)
    return run, seen, options


def test_the_next_model_has_a_new_class(finished):
    run, *_ = finished
    records = read_records(run)
    assert [record.class_names[10:] for record in records] == [["letter"]] * 3
    assert [len(record.class_counts) for record in records] == [11, 11, 11]
    assert records[0].class_counts[10] == 1
    labels = [int(row["label"]) for row in rows(run / "ledger.csv")]
    assert labels.count(10) == 1


def test_replay_learns_the_same_labels(finished, tmp_path):
    run, *_ = finished
    assert main(["replay", "--run", str(run), "--run_dir", str(tmp_path / "again")]) == 0
    assert (tmp_path / "again/ledger.csv").read_bytes() == (run / "ledger.csv").read_bytes()
    assert [record.metrics for record in read_records(tmp_path / "again")] == [r.metrics for r in read_records(run)]


def test_report_and_figures_read_it(finished, tmp_path, monkeypatch):
    run, *_ = finished
    monkeypatch.chdir(tmp_path)
    assert main(["report", str(run), "--out", str(tmp_path / "report")]) == 0
    assert "letter" in (tmp_path / "report/report.html").read_text()
    assert main(["plot", str(run), "--out", "budget.png"]) == 0
    assert main(["figure", "contact-sheet", str(run), "--images", "20", "--out", "sheet.png"]) == 0
    assert Path("sheet.png").stat().st_size
    status([str(run)])


def test_it_is_finished_and_stays_so(finished, capsys):
    run, _, options = finished
    before = (run / "ledger.csv").read_bytes()
    capsys.readouterr()
    assert main(options(*PERSON, "--run_dir", str(run))) == 0
    assert "is finished" in capsys.readouterr().out
    assert (run / "ledger.csv").read_bytes() == before


def test_overwrite_sets_a_persons_work_aside(photos, options, person, tmp_path, capsys):
    argv, run = options(*PERSON, "--run_dir", str(tmp_path / "run")), tmp_path / "run"
    assert main(argv) == 0
    person(run / "queries/initial.csv")
    typed = (run / "queries/initial.csv").read_bytes()
    assert main([*argv, "--loop.initial_size", "31"]) == 2
    assert "has a pending labeling request of another configuration" in capsys.readouterr().err
    assert (run / "queries/initial.csv").read_bytes() == typed
    assert main([*argv, "--overwrite"]) == 0
    assert (run / "queries-1/initial.csv").read_bytes() == typed
    assert main([*argv, "--overwrite"]) == 0
    assert (run / "queries-2/initial.csv").exists()


STOPPED = """
from lightning.pytorch import Callback

class Stopped(Callback):
    def on_fit_start(self, trainer, pl_module):
        trainer.should_stop = True
"""


def test_a_callback_that_leaves_no_step_costs_no_label(options, person, tmp_path, monkeypatch, capsys, until_done):
    """The remedy of the error is another trainer.callbacks; the initial set is the same with any."""
    (tmp_path / "stopped.py").write_text(STOPPED)
    monkeypatch.syspath_prepend(tmp_path)
    run = tmp_path / "run"
    argv = options(*PERSON, "--run_dir", str(run))
    wrong = [*argv, "--trainer.callbacks+", "stopped.Stopped"]
    assert main(wrong) == 0
    person(run / "queries/initial.csv")
    typed = (run / "queries/initial.csv").read_bytes()
    assert main(wrong) == 2
    assert "look at trainer.callbacks (Stopped)" in capsys.readouterr().err
    assert main(argv) == 0
    assert "the labels of the initial set stay: trainer.callbacks was" in capsys.readouterr().out
    assert (run / "queries/initial.csv").read_bytes() == typed
    assert main([*argv, "--model.optimizer.lr", "0.5"]) == 2  # a model has chosen what is asked by now
    person(run / "queries/round-000.csv")
    until_done(options(*PERSON), run, person)
    until_done(options(*PERSON), tmp_path / "right", person)
    assert (run / "ledger.csv").read_bytes() == (tmp_path / "right/ledger.csv").read_bytes()


def test_a_pool_that_is_used_up_ends_the_run_with_fewer_labels(photos, options, person, tmp_path, until_done):
    folder, truth = photos
    for path in sorted(truth)[60:]:
        (folder / "pool" / path).unlink()
    run, skipped = tmp_path / "run", sorted(truth)[:5]
    argv = options(*PERSON, "--loop.query_budget", "30")
    until_done(argv, run, lambda file: person(file, dict.fromkeys(skipped, "skip")))
    assert sum(len(record.skipped.index) for record in read_records(run)) == 5
    assert len(rows(run / "ledger.csv")) == 55
    assert main([*argv, "--run_dir", str(run)]) == 0  # its records still fit


def test_the_test_set_names_the_classes(photos, options, person, tmp_path, capsys, until_done):
    folder, truth = photos
    shutil.rmtree(folder / "test")
    for path in sorted(truth)[:10]:  # a test set of two classes, named by the person's words only
        target = folder / "test" / ("even" if int(truth[path]) % 2 == 0 else "odd") / Path(path).name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / "pool" / path, target)
    run = tmp_path / "run"
    words = {path: "even" if int(c) % 2 == 0 else "odd" for path, c in truth.items()}
    until_done(options(*PERSON, "--query", "Margin"), run, lambda file: person(file, words))
    assert read_records(run)[0].class_names == ["even", "odd"]


@pytest.mark.slow
def test_wandb_is_left_so_that_it_can_go_on(options, person, tmp_path, monkeypatch, until_done):
    monkeypatch.setenv("WANDB_MODE", "offline")
    run = tmp_path / "run"
    until_done(options(*PERSON, "--loop.query_budget", "20", "--logger", "wandb"), run, person)
    assert "finished" in (run / "wandb_id").read_text()
    name = (run / "wandb_id").read_text().split()[0]
    folders = [folder.name for folder in (run / "wandb").glob("offline-run-*")]
    assert len(folders) >= 1
    assert all(f"-{name}" in folder for folder in folders)  # one run, however many commands


@pytest.mark.slow
@pytest.mark.skipif(not FASHION_MNIST, reason="FASHION_MNIST names no folder of IDX files")
def test_fashion_mnist_without_labels_ends_where_the_simulated_run_does(person_of, tmp_path, until_done):
    root, n = tmp_path / "images", 3000
    data = FashionMNIST(FASHION_MNIST)
    learn, test = data.load()
    truth = {}
    for part, images, count in (("pool", learn, n), ("test", test, 1000)):
        for i in range(count):
            name = data.class_names[int(images.label[i])].replace("/", "-")
            file = root / (f"pool/{i:05}.png" if part == "pool" else f"test/{name}/{i:05}.png")
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.asarray(images.image[i, 0])).save(file)
            if part == "pool":
                truth[file.name] = name
    with (root / "labels.csv").open("w", newline="") as out:
        csv.writer(out).writerows([("path", "label"), *sorted(truth.items())])
    argv = [
        "fit", "--config", "fashion_mnist", "--data", "ImageFolder", "--data.root", str(root / "pool"),
        "--data.test_root", str(root / "test"), "--data.size", "28", "--data.channels", "1", "--data.batch_size", "64",
        "--loop.initial_size", "200", "--loop.query_size", "100", "--loop.query_budget", "300", "--query", "MSALD",
        "--model.backbone", "SmallCNN", "--trainer.max_epochs", "2", "--trainer.accelerator", "cpu",
    ]  # fmt: skip
    until_done([*argv, *PERSON], tmp_path / "asked", person_of(truth))
    assert main([*argv, "--data.csv", str(root / "labels.csv"), "--run_dir", str(tmp_path / "known")]) == 0
    assert (tmp_path / "asked/ledger.csv").read_bytes() == (tmp_path / "known/ledger.csv").read_bytes()
