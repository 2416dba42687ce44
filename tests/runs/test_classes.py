"""Numbers by class from records to every place that shows them, and classes that are missing."""

import csv
import io
import json

import pytest
import torch
from lightning.pytorch import Trainer
from rich.console import Console

from msal_lightning import ActiveLoop, LoopOptions, MSALClassifier, RunDirectory
from msal_lightning.cli.main import main
from msal_lightning.datasets import Digits
from msal_lightning.loop.display import Display
from msal_lightning.models.backbones import SmallCNN
from msal_lightning.models.class_results import MOST_CLASSES, ClassResults
from msal_lightning.runs.classes import accuracy_name, class_rows, missing_classes, say_segment, segment_of
from msal_lightning.runs.records import LabeledImages, RoundRecord, aubc, last_segment, read_records
from msal_lightning.strategies import Random

RARE = ClassResults([20, 0], [18, 2], [18, 0], [None, None], ["0:18 1:2", ""])  # no defect in the test set
BOTH = ClassResults([16, 4], [18, 2], [15, 1], [0.75, 0.75], ["0:15 1:1", "0:3 1:1"])


def record(k, results, initial=(), queried=(), **more):
    """Round k; labels are given, indices follow from them."""
    start = LabeledImages([100 * k + i for i in range(len(initial))], list(initial)) if initial else LabeledImages()
    return RoundRecord(
        k, 4 + 2 * k, 90, {"accuracy": 0.9}, {"fit": 2.0, "test": 0.5, "query": 0.25}, None, [0, 0],
        LabeledImages([100 * k + 50 + i for i in range(len(queried))], list(queried)), start, {},
        num_test=20, test_classes=results, class_names=["good", "defect"] if k == 0 else None, **more,
    )  # fmt: skip


@pytest.fixture
def write_run(tmp_path):
    def write(name, *records, seed=0):
        config = {
            "seed": seed,
            "loop": {"initial_size": 4, "query_size": 2, "query_budget": 2 * (len(records) - 1)},
            "data": {"class_path": "msal_lightning.datasets.ImageFolder"},
            "query": {"class_path": "msal_lightning.strategies.Margin"},
            "model": {"head": "linear"},
        }
        run = RunDirectory(tmp_path / "runs" / name, config)
        run.open()
        for one in records:
            run.commit(one)
        run.close()
        return run.path

    return write


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_a_run_counts_what_it_was_trained_and_tested_on(tmp_path):
    data = Digits(batch_size=32)
    loop = ActiveLoop(
        lambda: MSALClassifier(10, 1, lambda channels: SmallCNN(channels, width=4)),
        lambda **settings: Trainer(max_epochs=2, accelerator="cpu", **settings),
        data, Random(), RunDirectory(tmp_path / "run"), LoopOptions(initial_size=40, query_size=20, query_budget=40),
    )  # fmt: skip
    records = loop.run()
    assert records == read_records(tmp_path / "run")
    train, test = Digits().load()
    table = rows(tmp_path / "run" / "per_class.csv")
    assert len(table) == 3 * 10
    for k, one in enumerate(records):
        results = one.test_classes
        assert results.images == torch.bincount(test.label).tolist()
        assert sum(results.correct) / 500 == pytest.approx(one.accuracy)
        assert results.balanced_accuracy == pytest.approx(one.metrics["balanced_accuracy"], abs=1e-6)
        matrix = torch.tensor(results.matrix())
        assert matrix.sum(1).tolist() == results.images
        assert matrix.sum(0).tolist() == results.predicted
        assert matrix.diag().tolist() == results.correct
        trained = data.labels[(data.labeled_at >= 0) & (data.labeled_at <= k)]
        shown = table[10 * k : 10 * k + 10]
        assert [int(row["labeled"]) for row in shown] == torch.bincount(trained, minlength=10).tolist()
        assert [int(row["train"]) for row in shown] == torch.bincount(train.label).tolist()
        assert [row["recall"] for row in shown] == [str(round(results.recall(c), 6)) for c in range(10)]
    curve = rows(tmp_path / "run" / "curve.csv")
    names = ["macro_precision", "macro_f1", "macro_auroc"]
    assert [[float(row[name]) for name in names] for row in curve] == [
        [one.test_classes.macro()[name] for name in names] for one in records
    ]


def test_counts_of_classes_that_a_person_names_later():
    first = ClassResults([3, 1], [4, 0], [3, 0])
    second = ClassResults([3, 1, 0], [4, 0, 0], [3, 0, 0])
    records = [record(0, first, initial=[0, 0, 1, 0], queried=[2, 1]), record(1, second, queried=[2])]
    records[1] = RoundRecord(**{**vars(records[1]), "class_names": ["good", "defect", "scratch"]})
    assert [(row.name, row.test, row.labeled) for row in class_rows(records, 0)] == [("good", 3, 3), ("defect", 1, 1)]
    assert [(row.name, row.test, row.labeled) for row in class_rows(records, 1)] == [
        ("good", 3, 3), ("defect", 1, 2), ("scratch", 0, 1)
    ]  # fmt: skip
    assert all(row.train is None for row in class_rows(records, 1))  # nobody knows the labels of the pool
    assert missing_classes(records, 1).in_test == ("scratch",)


def test_rounds_with_other_classes_are_a_segment_of_their_own():
    three, two = ClassResults([2, 1, 3], [3, 1, 2], [2, 1, 2]), ClassResults([3, 3], [3, 3], [3, 3])

    def of(k, results, names=None, numbers=None, **more):
        made = vars(record(k, results, **more)) | {"class_names": names, "class_numbers": numbers}
        return RoundRecord(**made)

    records = [
        of(0, three, ["a", "b", "c"], initial=[0, 1, 2], queried=[2], train_class_counts=[4, 5, 6]),
        of(1, three, ["a", "b", "see"], [0, 1, 2], trained_class_counts=[1, 1, 2]),
        of(2, two, ["ab", "see"], [0, 0, 1], trained_class_counts=[2, 2], train_class_counts=[9, 6]),
        of(3, two, ["ab", "sea"], [0, 1], trained_class_counts=[2, 3], train_class_counts=[9, 5]),
    ]
    assert [record.starts_segment for record in records] == [False, False, True, False]  # renamed ones are the same
    assert [record.round for record in last_segment(records)] == [2, 3]
    assert [record.round for record in segment_of(records, 1)] == [0, 1]
    shown = [[(row.name, row.test, row.train, row.labeled) for row in class_rows(records, k)] for k in range(4)]
    assert shown[0] == [("a", 2, 4, 1), ("b", 1, 5, 1), ("see", 3, 6, 1)]
    assert shown[1] == [("a", 2, 4, 1), ("b", 1, 5, 1), ("see", 3, 6, 2)]
    assert shown[2:] == [[("ab", 3, 9, 2), ("sea", 3, 6, 2)], [("ab", 3, 9, 2), ("sea", 3, 5, 3)]]
    assert say_segment(records) == "round 2 on, with 2 classes"
    assert say_segment(records[:2]) == ""
    assert aubc(records) == pytest.approx(0.9)
    assert aubc(records[:3]) != aubc(records[:3])  # one round has no area


def test_missing_classes_are_warned_of_and_no_accuracy_is_final():
    records = [record(0, RARE, initial=[0, 0, 0, 0], queried=[1, 0]), record(1, RARE), record(2, BOTH)]
    nothing = "no test image of 'defect': the accuracy is measured on 1 of 2 classes and says nothing about it"
    unlearned = "no labeled image of 'defect' (1 of 2 classes): the model cannot have learned it"
    assert missing_classes(records, 0).warnings == [nothing, unlearned]
    assert missing_classes(records, 1).warnings == [nothing]
    assert missing_classes(records, 2).warnings == []
    assert accuracy_name(records[:2]) == "accuracy on 1 of 2 classes"
    assert accuracy_name(records) == "final accuracy"
    assert accuracy_name([record(0, None)]) == "final accuracy"


def test_the_terminal_warns_when_other_classes_are_missing(tmp_path):
    console = Console(file=io.StringIO(), width=200)
    display, run = Display(console), RunDirectory(tmp_path)
    records = [record(0, RARE, initial=[0, 0, 0, 0], queried=[1, 0]), record(1, RARE), record(2, RARE)]
    for one in records:
        display.round(one)
    assert [line[:20] for line in console.file.getvalue().splitlines() if "WARNING" in line] == [
        "WARNING: no test ima", "WARNING: no labeled ", "WARNING: no test ima"
    ]  # fmt: skip
    display.finish(records, run)
    end = console.file.getvalue().splitlines()[-2:]
    assert "accuracy on 1 of 2 classes 0.9000" in end[0]
    assert "final" not in end[0]
    assert end[1].startswith("WARNING: no test image of 'defect'")


def test_many_classes_are_said_once_to_have_no_matrix():
    console = Console(file=io.StringIO(), width=200)
    display, size = Display(console), MOST_CLASSES + 1
    for k in range(2):
        display.round(record(k, ClassResults([1] * size, [1] * size, [1] * size), initial=[*range(size)] * (k == 0)))
    assert console.file.getvalue().count("left out for more than 1,000 classes") == 1


def test_status_shows_the_missing_class_and_the_worst_first(write_run, capsys):
    run = write_run("a", record(0, BOTH, initial=[0, 0, 0, 1]), record(1, RARE))
    assert main(["status", str(run)]) == 0
    said = capsys.readouterr().out
    assert "WARNING" in said
    assert "no test image of 'defect'" in said
    assert [line.split()[:4] for line in said.splitlines() if line.strip().startswith(("good", "defect"))] == [
        ["defect", "none", "1", "0.000"], ["good", "20", "3", "1.000"]
    ]  # fmt: skip
    assert main(["status", str(run), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["warnings"][0].startswith("no test image of 'defect'")
    assert found["classes"][0] | {"name": ""} == {
        "number": 1, "name": "", "test": 0, "train": None, "labeled": 1,
        "precision": 0.0, "recall": None, "f1": None, "auroc": None,
    }  # fmt: skip


def test_the_report_warns_and_means_are_over_seeds(write_run, tmp_path, capsys):
    write_run("a", record(0, BOTH, initial=[0, 0, 0, 1]), record(1, BOTH))
    write_run("b", record(0, BOTH, initial=[0, 0, 0, 1]), record(1, RARE), seed=1)
    assert main(["report", str(tmp_path / "runs"), "--out", str(tmp_path / "report")]) == 0
    assert "no test image of 'defect'" in " ".join(capsys.readouterr().out.split())
    text = (tmp_path / "report" / "report.md").read_text()
    assert "> **WARNING** Margin seed 1: no test image of 'defect'" in text
    assert "| accuracy on 1 of 2 classes |" in text
    f1 = (2 * 15 / 34 + 2 * 18 / 38) / 2
    assert f"| defect | 2 | {2 * 1 / 6:.3f} |\n| good | 18 | {f1:.3f} |" in text
    page = (tmp_path / "report" / "report.html").read_text()
    start = page.index('<script id="data" type="application/json">') + len('<script id="data" type="application/json">')
    data = json.loads(page[start : page.index("</script>", start)])
    assert data["warnings"] == [text.split("**WARNING** ")[1].splitlines()[0]]
    assert data["byClass"][0]["rows"][1][:4] == ["defect", 2, None, 1]


def test_runs_made_before_have_no_numbers_by_class(write_run, tmp_path, capsys):
    run = write_run("a", record(0, None, initial=[0, 1, 0, 0]), record(1, None))
    assert not (run / "per_class.csv").exists()
    for command in (["status", str(run)], ["report", str(run), "--out", str(tmp_path / "report")]):
        assert main(command) == 0
        assert "WARNING" not in capsys.readouterr().out
    assert "| F-acc |" in (tmp_path / "report" / "report.md").read_text()
