"""A person's run where it is unusual: no class known, odd names, other strategies, files that change."""

import csv
import json
import os

import numpy as np
import pytest
import torch
from PIL import Image

from msal_lightning.cli.main import main
from msal_lightning.runs.records import read_records

PERSON = ["--data.unlabeled", "true", "--oracle", "Files"]
NEW = ["--oracle.allow_new_classes", "true"]
ODD_CLASSES = (
    'a, "quoted"',
    "two\nlines",
    "semi;colon",
    "=1+1",
    "e\u0301te\u0301",
    "<script>alert(1)</script>",
    "🦋",
    "cat ",
    "None",
    "日本 ",
)
ODD_FILES = (
    'comma, "quote".png',
    "#50%.png",
    "=cmd.png",
    "-dash.png",
    "spa ce.png",
    "e\u0301.png",
    "🦋.png",
    "a;b.png",
)


def rows(file):
    with file.open(newline="", encoding="utf-8") as text:
        return list(csv.DictReader(text))


def without_classes(options, folder, *more):
    """The options of a run that knows no class."""
    argv = options("--loop.held_out", "10", *PERSON, *more)
    place = argv.index("--data.test_root")
    return argv[:place] + argv[place + 2 :]


# ---------------------------------------------------------------- classes


def test_a_person_names_all_classes(photos, options, person, tmp_path, capsys, until_done):
    argv = without_classes(options, photos[0], *NEW)
    assert until_done(argv, tmp_path / "run", person) == ["initial", "round-000", "round-001"]
    records = read_records(tmp_path / "run")
    assert sorted(records[-1].class_names) == list("0123456789")
    assert [record.num_labeled for record in records] == [30, 50, 70]
    assert records[0].num_test == 10
    assert "the accuracy is" in capsys.readouterr().out
    truth = photos[1]
    names = records[-1].class_names
    assert all(names[int(row["label"])] == truth[row["path"]] for row in rows(tmp_path / "run/ledger.csv"))
    model = torch.load(tmp_path / "run/checkpoints/round-002.ckpt")
    split = next(part for part in model.values() if isinstance(part, dict) and "labeled_at" in part)
    for row in rows(tmp_path / "run/ledger.csv"):
        assert split["labeled_at"][int(row["index"])] == int(row["round"])


def test_without_any_class_new_ones_must_be_allowed(photos, options, tmp_path, capsys):
    assert main([*without_classes(options, photos[0]), "--run_dir", str(tmp_path / "run")]) == 2
    assert "set oracle.allow_new_classes to true" in capsys.readouterr().err
    assert not (tmp_path / "run/queries").exists()


def test_a_plan_needs_classes(photos, options, capsys):
    assert main([*without_classes(options, photos[0], *NEW), "--plan"]) == 2
    assert "set data.classes" in capsys.readouterr().err
    named = without_classes(options, photos[0], "--data.classes", str([*"0123456789"]))
    assert main([*named, "--plan"]) == 0
    assert "30" in capsys.readouterr().out


def test_one_class_alone_is_said_and_can_be_mended(photos, options, person, tmp_path, capsys, waiting_for):
    argv, run = [*without_classes(options, photos[0], *NEW), "--run_dir", str(tmp_path / "run")], tmp_path / "run"
    assert main(argv) == 0
    file = run / "queries/initial.csv"
    person(file, dict.fromkeys(photos[1], "cat"))
    capsys.readouterr()
    assert main(argv) == 2
    said = capsys.readouterr().err
    assert "at least two classes" in said
    lines = rows(file)
    assert {row["label"] for row in lines} == {"cat"}  # what was typed stays
    text = file.read_text().replace(",cat", ",")
    file.write_text(text)
    person(file)
    assert main(argv) == 0
    assert waiting_for(run).stem == "round-000"


@pytest.fixture
def odd_names(photos, person_of):
    """A file of odd class names, and a person who knows them."""
    folder, truth = photos
    named = {path: ODD_CLASSES[int(c)].strip() for path, c in truth.items()}
    with (folder / "named.csv").open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([("path", "label"), *sorted(named.items())])
    return folder / "named.csv", person_of(named)


def test_odd_class_names_go_through_everything(odd_names, photos, options, tmp_path, capsys, until_done):
    file, person = odd_names
    names = json.dumps([name.strip() for name in ODD_CLASSES], ensure_ascii=False)
    argv = without_classes(options, photos[0], "--data.classes", names)
    until_done(argv, tmp_path / "asked", person)
    assert main([*argv, "--oracle", "Simulated", "--data.csv", str(file), "--run_dir", str(tmp_path / "known")]) == 0
    assert (tmp_path / "asked/ledger.csv").read_bytes() == (tmp_path / "known/ledger.csv").read_bytes()
    assert "<script>alert" not in (tmp_path / "asked/queries/round-000.html").read_text(encoding="utf-8")
    assert main(["report", str(tmp_path / "asked"), "--out", str(tmp_path / "report")]) == 0
    assert main(["status", str(tmp_path / "asked")]) == 0
    assert main(["replay", "--run", str(tmp_path / "asked"), "--run_dir", str(tmp_path / "again")]) == 0
    again, request = read_records(tmp_path / "again"), read_records(tmp_path / "asked")
    assert [record.metrics for record in again] == [record.metrics for record in request]


# ---------------------------------------------------------------- strategies and options

WAYS = {
    "CEAL, pool_limit, no checkpoints": [
        "--query",
        "CEAL",
        "--loop.pool_limit",
        "80",
        "--loop.keep_checkpoints",
        "none",
    ],
    "KCenter, all checkpoints, lag": ["--query", "KCenter", "--loop.keep_checkpoints", "all", "--loop.lag", "1"],
    "CEAL": ["--query", "CEAL"],
    "BatchBALD": ["--query", "BatchBALD", "--query.mc_samples", "4"],
    "KCenter": ["--query", "KCenter"],
    "Random": ["--query", "Random"],
    "pool_limit": ["--query", "Entropy", "--loop.pool_limit", "80"],
    "no checkpoints": ["--loop.keep_checkpoints", "none"],
    "all checkpoints": ["--loop.keep_checkpoints", "all"],
    "CEAL, lag": ["--query", "CEAL", "--loop.lag", "1"],
}
TOGETHER, SINGLE = [*WAYS][:2], [*WAYS][2:]


def alone(*ways):
    return [pytest.param(way, marks=pytest.mark.slow) for way in ways]


@pytest.mark.parametrize("way", [*TOGETHER, *alone(*SINGLE)])
def test_the_person_gets_what_known_labels_get(way, photos, options, person, tmp_path, until_done):
    argv = options(*WAYS[way])
    until_done([*argv, *PERSON], tmp_path / "asked", person)
    known = ["--data.csv", str(photos[0] / "labels.csv"), "--run_dir", str(tmp_path / "known")]
    assert main([*argv, *known]) == 0
    assert (tmp_path / "asked/ledger.csv").read_bytes() == (tmp_path / "known/ledger.csv").read_bytes()
    request, simulated = read_records(tmp_path / "asked"), read_records(tmp_path / "known")
    assert [record.metrics for record in request] == [record.metrics for record in simulated]
    kept = 0 if "no checkpoints" in way else 3 if "all checkpoints" in way else 1
    assert len(list((tmp_path / "asked/checkpoints").glob("round-*.ckpt"))) == kept


@pytest.mark.parametrize(
    "way",
    [TOGETHER[1], *alone(TOGETHER[0], "CEAL", "CEAL, lag", "BatchBALD", "KCenter", "pool_limit", "no checkpoints")],
)
def test_what_is_skipped_never_comes_back(way, photos, options, person, tmp_path, until_done):
    argv, run, skipped = [*options(*WAYS[way]), *PERSON], tmp_path / "run", set()

    def fill(file):
        said = {row["path"]: word for row, word in zip(rows(file), ("skip", "unsure"), strict=False)}
        assert not skipped & {row["path"] for row in rows(file)}
        if len(skipped) < 8:
            skipped.update(said)
        else:
            said = {}
        person(file, said)

    until_done(argv, run, fill)
    records = read_records(run)
    assert [record.num_labeled for record in records] == [30, 50, 70]
    queried = [row["path"] for row in rows(run / "ledger.csv")]
    assert len({*queried}) == len(queried) == 70
    assert not skipped & {*queried}
    assert sorted(path for record in records for path in record.skipped.path) == sorted(skipped)
    for record in records:
        pseudo = record.pseudo_labels
        assert not pseudo or not {*pseudo.index} & {*record.queried.index, *record.skipped.index}


COLLEAGUE = """
import csv
from pathlib import Path
from msal_lightning.oracles import Answer, Oracle

class Colleague(Oracle):
    def __init__(self, file: str):
        self.hidden_labels = {row["path"]: row["label"] for row in csv.DictReader(Path(file).read_text().splitlines())}
    def ask(self, question):
        return [Answer(self.hidden_labels[item.path]) for item in question.items]
"""


def test_another_oracle_goes_on_with_the_run(photos, options, person, tmp_path, monkeypatch, waiting_for):
    (tmp_path / "colleagues.py").write_text(COLLEAGUE)
    monkeypatch.syspath_prepend(tmp_path)
    argv = options("--data.unlabeled", "true", "--run_dir", str(tmp_path / "run"))
    colleague = ["--oracle", "colleagues.Colleague", "--oracle.file", str(photos[0] / "labels.csv")]
    assert main([*argv, "--oracle", "Files"]) == 0
    person(tmp_path / "run/queries/initial.csv")
    assert main([*argv, "--oracle", "Files"]) == 0
    assert waiting_for(tmp_path / "run").stem == "round-000"
    assert main([*argv, *colleague]) == 0  # also answers what Files has asked
    assert waiting_for(tmp_path / "run") is None
    assert main(options("--data.csv", str(photos[0] / "labels.csv"), "--run_dir", str(tmp_path / "known"))) == 0
    assert (tmp_path / "run/ledger.csv").read_bytes() == (tmp_path / "known/ledger.csv").read_bytes()


# ---------------------------------------------------------------- files


def test_odd_file_names_go_through(photos, options, person_of, tmp_path, until_done):
    folder, truth = photos
    digits = sorted(truth)
    for name, path in zip(ODD_FILES, digits, strict=False):
        (folder / "pool" / path).rename(folder / "pool" / name)
        truth[name] = truth.pop(path)
    unreadable = os.fsdecode(b"b\xff\xfe.png")
    (folder / "pool" / digits[-1]).rename(folder / "pool" / unreadable)
    truth[unreadable.encode(errors="backslashreplace").decode()] = truth.pop(digits[-1])
    known = {f"./{path}": label for path, label in truth.items()} | truth
    argv = options("--loop.initial_size", "235", "--loop.query_budget", "0", *PERSON)  # nearly all are asked for
    until_done(argv, tmp_path / "run", person_of(known))
    ledger = {row["path"].removeprefix("./") for row in rows(tmp_path / "run/ledger.csv")}  # no formula begins so
    assert len(ledger) == 235
    assert len({*ODD_FILES} & ledger) >= len(ODD_FILES) - 5
    numbers = {row["path"].removeprefix("./"): row["label"] for row in rows(tmp_path / "run/ledger.csv")}
    assert all(truth[path] == label for path, label in numbers.items())


def test_an_earlier_file_of_questions_is_known_labels(photos, options, person, tmp_path, capsys, until_done):
    """What `query` wrote and a person filled in: blank, skip and unsure lines are no labels."""
    folder, truth = photos
    paths = sorted(truth)
    lines = [(path, "3", 0.5, rank, truth[path]) for rank, path in enumerate(paths[:20])]
    lines += [(paths[20], "3", 0.5, 20, "skip"), (paths[21], "3", 0.5, 21, "unsure"), (paths[22], "3", 0.5, 22, "")]
    with (folder / "query.csv").open("w", newline="") as out:
        csv.writer(out).writerows([("path", "suggested", "score", "rank", "label"), *lines])
    argv = options("--data.csv", str(folder / "query.csv"), *PERSON)
    assert main([*argv, "--run_dir", str(tmp_path / "run")]) == 0
    said = capsys.readouterr().out
    assert "2 of 240 images are left out: data.csv says skip or unsure" in said
    assert "waiting for 10 labels" in said
    person(tmp_path / "run/queries/initial.csv")
    until_done(argv, tmp_path / "run", person)
    ledger = {row["path"].removeprefix("./") for row in rows(tmp_path / "run/ledger.csv")}  # no formula begins so
    assert {*paths[:20]} <= ledger
    assert not {paths[20], paths[21]} & ledger


def test_known_labels_may_be_the_whole_initial_set_but_not_more(photos, options, tmp_path, capsys, waiting_for):
    folder, truth = photos
    argv = options("--data.csv", str(folder / "known.csv"), *PERSON)
    for n, code in ((31, 2), (30, 0)):
        lines = [f"{path},{truth[path]}\n" for path in sorted(truth)[:n]]
        (folder / "known.csv").write_text("path,label\n" + "".join(lines))
        assert main([*argv, "--run_dir", str(tmp_path / str(n))]) == code
    assert "loop.initial_size to be at least 31, the number of known labels, got 30" in capsys.readouterr().err
    assert waiting_for(tmp_path / "30").stem == "round-000"  # nobody is asked about the initial set


def test_labels_that_come_into_the_csv_file_while_it_waits(photos, options, person, tmp_path, capsys, until_done):
    folder, truth = photos
    file, run = folder / "known.csv", tmp_path / "run"
    first, second, *_ = sorted(truth)
    file.write_text(f"path,label\n{first},{truth[first]}\n")
    argv = [*options("--data.csv", str(file), *PERSON), "--run_dir", str(run)]
    assert main(argv) == 0
    request = rows(run / "queries/initial.csv")
    capsys.readouterr()
    other = request[0]["path"]
    for more in (f"{first},{truth[first]}\n{second},{truth[second]}\n", f"{other},{truth[other]}\n"):
        file.write_text(f"path,label\n{more}")
        assert main(argv) == 2
        assert "labels that data.csv had when the initial set was requested" in capsys.readouterr().err
    file.write_text(f"path,label\n{first},{truth[first]}\n")
    until_done(argv[:-2], run, person)
    assert read_records(run)[-1].num_labeled == 70


def test_other_images_are_noticed_by_their_paths(photos, options, person, tmp_path, capsys):
    """One deleted, one added: as many as before, at other indices."""
    folder, run = photos[0], tmp_path / "run"
    argv = [*options("--data.csv", str(folder / "known.csv"), *PERSON), "--run_dir", str(run)]
    (folder / "known.csv").write_text("path,label\n")
    assert main(argv) == 0
    paths = sorted((folder / "pool").rglob("*.png"))
    paths[-1].rename(folder / "pool/a/0000.png")
    person(run / "queries/initial.csv")
    assert main(argv) == 2
    assert "was started ('a/0000.png' is new)" in capsys.readouterr().err
    (folder / "pool/a/0000.png").rename(paths[-1])
    assert main(argv) == 0
    person(run / "queries/round-000.csv")
    assert main(argv) == 0  # round 0 is recorded
    paths[-1].rename(folder / "pool/a/0000.png")
    capsys.readouterr()
    assert main(argv) == 2
    assert "was started ('a/0000.png' is new)" in capsys.readouterr().err


@pytest.mark.parametrize("change", ["deleted", "added"])
def test_images_that_come_and_go_while_it_waits(change, photos, options, person, tmp_path, capsys, waiting_for):
    folder, run = photos[0], tmp_path / "run"
    argv = [*options(*PERSON), "--run_dir", str(run)]
    assert main(argv) == 0
    person(run / "queries/initial.csv")
    assert main(argv) == 0
    person(run / "queries/round-000.csv")
    gone = folder / "pool" / rows(run / "queries/round-000.csv")[3]["path"]
    kept = gone.read_bytes()
    other = folder / "pool/a/0000.png"
    if change == "deleted":
        gone.unlink()
    else:
        Image.fromarray(np.zeros((8, 8), dtype=np.uint8)).save(other)
    before = {file: file.read_bytes() for file in run.rglob("*") if file.is_file() and file.name != "lock"}
    capsys.readouterr()
    assert main(argv) == 2
    said = capsys.readouterr().err
    assert "--overwrite" in said
    assert said.count("\n") == 1
    assert before == {file: file.read_bytes() for file in run.rglob("*") if file.is_file() and file.name != "lock"}
    gone.write_bytes(kept)
    other.unlink(missing_ok=True)
    assert main(argv) == 0
    assert waiting_for(run).stem == "round-001"


def test_fewer_images_while_the_first_labels_are_waited_for(photos, options, person, tmp_path, capsys):
    """All are asked about, so that an index is out of range afterwards."""
    folder, run = photos[0], tmp_path / "run"
    sizes = ["--loop.initial_size", "240", "--loop.query_budget", "0"]
    argv = [*options(*sizes, *PERSON), "--run_dir", str(run)]
    assert main(argv) == 0
    last = max((folder / "pool").rglob("*.png"))
    last.rename(folder / last.name)
    person(run / "queries/initial.csv")
    capsys.readouterr()
    assert main(argv) == 2
    assert "Traceback" not in capsys.readouterr().err
    (folder / last.name).rename(last)
    assert main(argv) == 0
    assert read_records(run)[0].num_labeled == 240
