"""Several people who share the images of a run."""

import csv
import json
import shutil
from dataclasses import replace

import pytest
from PIL import Image

from msal_lightning.analysis.report.result import build
from msal_lightning.cli.main import main
from msal_lightning.errors import AnnotationError
from msal_lightning.oracles import AwaitingLabels, Files, LabelingBatch, LabelingTask
from msal_lightning.oracles.csv_files.shares import find_shares
from msal_lightning.runs.pending import pending
from msal_lightning.runs.records import read_records

PERSON = ["--data.unlabeled", "true", "--oracle", "Files"]
PEOPLE = [*PERSON, "--oracle.annotators", "[anna, ben, cleo]", "--oracle.overlap", "0.2"]


def rows(file):
    with file.open(newline="", encoding="utf-8") as text:
        return list(csv.DictReader(text))


def edit(file, label):
    """Set the column label of each line to ``label(row)``."""
    lines = rows(file)
    for line in lines:
        line["label"] = label(line)
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, lines[0])
        writer.writeheader()
        writer.writerows(lines)


def wrong(label):
    return str((int(label) + 1) % 10)


@pytest.fixture
def answer(photos):
    """``answer(run)``: all people answer; ben is wrong about every image whose number divides by 3."""
    truth = photos[1]

    def of(run):
        for share in find_shares(pending(run)):
            mistaken = share.annotator == "ben"
            edit(
                share.file,
                lambda row, mistaken=mistaken: (
                    wrong(truth[row["path"]]) if mistaken and int(row["path"][2:-4]) % 3 == 0 else truth[row["path"]]
                ),
            )

    return of


def test_three_people_label_a_run(photos, options, answer, tmp_path, capsys):
    run, truth = tmp_path / "run", photos[1]
    argv = options(*PEOPLE, "--loop.query_budget", "20", "--run_dir", str(run))
    assert main(argv) == 0
    assert "waiting for 42 labels in" in capsys.readouterr().out  # 30, and 6 of them twice more
    batch = pending(run)
    files = {name: rows(run / f"queries/initial.{name}.csv") for name in ("anna", "ben", "cleo")}
    assert {name: len(lines) for name, lines in files.items()} == {"anna": 14, "ben": 14, "cleo": 14}
    assert {line["annotator"] for line in files["ben"]} == {"ben"}
    assert {line["path"] for lines in files.values() for line in lines} == {item.path for item in batch.items}
    assert (run / "queries/initial.cleo.html").exists()
    assert not (run / "queries/initial.csv").exists()
    capsys.readouterr()
    assert main(["status", str(run)]) == 0
    said = capsys.readouterr().out
    assert "waiting for 42 of 42 labels in initial" in said
    assert "14 of 14 in" in said

    for _ in range(2):
        answer(run)
        assert main(argv) == 0
    records = read_records(run)
    assert [record.num_labeled for record in records] == [30, 50]
    said = capsys.readouterr().out
    assert "annotators disagree about" in said
    assert "ben: " in said
    assert "; counts: " in said
    votes = {}
    for record in records:
        for index, name, word in zip(*vars(record.votes or records[0].votes).values(), strict=True):
            votes.setdefault(index, {})[name] = word
    assert len(votes) == 50
    assert sum(len(given) == 3 for given in votes.values()) == 6 + 4
    ledger = {int(row["index"]): row for row in rows(run / "ledger.csv")}
    assert {*ledger} == {*votes}
    for index, given in votes.items():
        right = truth[ledger[index]["path"]]
        expected = right if len(given) == 3 else next(iter(given.values()))  # two of three are right
        assert ledger[index]["class_name"] == expected
    assert main(["labels", str(run), "--out", str(tmp_path / "l.csv")]) == 0
    by = {int(row["index"]): row["annotator"] for row in rows(tmp_path / "l.csv")}
    assert by == {index: "; ".join(given) for index, given in votes.items()}
    listed = rows(run / "queries/initial-disagreements.csv")
    assert [row["label"] for row in listed] == [truth[row["path"]] for row in listed]
    capsys.readouterr()
    assert main(["status", str(run), "--json"]) == 0
    (status,) = json.loads(capsys.readouterr().out)
    pairs = {tuple(one["annotators"]): one for one in status["agreement"]}
    assert pairs["anna", "cleo"]["same"] == pairs["anna", "cleo"]["images"] == 10
    assert pairs["anna", "ben"]["same"] < 10
    assert pairs["anna", "ben"]["kappa"] < 1
    assert main(["status", str(run)]) == 0
    (note,) = (line for line in build([run]).notes if "anna and cleo" in line)
    assert note == f"{run}: anna and cleo agree about 10 of 10 images, Cohen's kappa 1.00"
    assert "anna and cleo agree about 10 of 10 images, Cohen's kappa 1.00" in capsys.readouterr().out


def test_decisions_on_the_page_are_taken_over(photos, options, answer, tmp_path, capsys):
    run, saved, truth = tmp_path / "run", tmp_path / "initial-disagreements.csv", photos[1]
    argv = options(*PEOPLE, "--oracle.resolve", "adjudicate", "--loop.query_budget", "0", "--run_dir", str(run))
    assert main(argv) == 0
    answer(run)
    assert main(argv) == 0
    ours = run / "queries/initial-disagreements.csv"
    listed = rows(ours)
    assert len(listed) > 1

    def save(label, **changed):
        with saved.open("w", newline="") as out:
            writer = csv.DictWriter(out, ["path", "votes", "label"])
            writer.writeheader()
            writer.writerows({**row, "label": label(row), **changed} for row in listed)

    def refused(*words):
        capsys.readouterr()
        assert main(["label", str(run), str(saved)]) == 2
        said = capsys.readouterr().err
        assert all(word in said for word in words)
        assert rows(ours) == listed

    save(lambda row: "nothing")
    refused("no label was accepted", "'nothing'")
    save(lambda row: truth[row["path"]], votes="anna: cat; ben: dog")
    refused("has other votes in 'initial-disagreements.csv'")
    save(lambda row: truth[row["path"]] if row is listed[0] else "")
    assert main(["label", str(run), str(saved)]) == 0
    assert f"1 decision copied into {ours}; {len(listed) - 1} are still missing" in capsys.readouterr().out
    save(lambda row: "" if row is listed[0] else truth[row["path"]])
    assert main(["label", str(run), str(saved)]) == 0
    assert "all are there" in capsys.readouterr().out
    assert main(argv) == 0
    labels = {row["path"]: row["class_name"] for row in rows(run / "ledger.csv")}
    assert all(labels[row["path"]] == truth[row["path"]] for row in listed)


@pytest.fixture
def batch(tmp_path):
    """Eight images that nobody has labeled."""
    items = []
    for k in range(8):
        Image.new("L", (4, 4)).save(tmp_path / f"{k}.png")
        items.append(LabelingTask(k, f"{k}.png", tmp_path / f"{k}.png", None, None, None, k))
    (tmp_path / "queries").mkdir()
    return LabelingBatch("round-000", tuple(items), ("cat", "dog"), tmp_path / "queries")


def give(batch, **labels):
    """Write labels of people, one word for all images, or one for each."""
    for share in find_shares(batch):
        words = labels[share.annotator]
        given = dict(zip([item.path for item in batch.items], words if len(words) == 8 else [words] * 8, strict=True))
        edit(share.file, lambda row, given=given: given[row["path"]])


def test_a_person_decides_where_nobody_else_does(batch, capsys):
    oracle = Files(annotators=["anna", "ben"], overlap=1)
    with pytest.raises(AwaitingLabels, match="waiting for 16 labels"):
        oracle.ask(batch)
    mixed = ["dog", "dog", *["cat"] * 6]
    give(batch, anna="cat", ben=mixed)
    file = batch.folder / "round-000-disagreements.csv"
    with pytest.raises(AwaitingLabels, match=f"waiting for 2 labels in {file}") as waiting:  # two have no majority
        oracle.ask(batch)
    assert "open round-000-disagreements.html beside it" in waiting.value.how
    page = file.with_suffix(".html").read_text()
    assert '"votes": "anna: cat; ben: dog"' in page
    assert "2.png" not in page  # nothing to decide there
    said = capsys.readouterr().out
    assert "annotators disagree about 2 of 8 images of round-000:\n  '0.png': anna: cat; ben: dog\n" in said
    assert [(row["path"], row["label"]) for row in rows(file)] == [("0.png", ""), ("1.png", "")]
    edit(file, lambda row: "nothing" if row["path"] == "0.png" else "")
    with pytest.raises(AnnotationError, match=r"no label was accepted: .*\n  '0\.png': the class 'nothing'"):
        oracle.ask(batch)
    edit(file, lambda row: "skip" if row["path"] == "0.png" else "")
    give(batch, anna="cat", ben=["dog", *["cat"] * 7])  # ben corrects himself
    answers = oracle.ask(batch)
    assert [answer.word for answer in answers] == ["skip", *["cat"] * 7]
    assert answers[0].votes == (("anna", "cat"), ("ben", "dog"))
    assert len(rows(file)) == 1


def test_quality_knows_earlier_batches(batch):
    oracle = Files(annotators=["anna", "ben"], overlap=1, resolve="quality")
    with pytest.raises(AwaitingLabels):
        oracle.ask(batch)
    give(batch, anna=["dog", *["cat"] * 7], ben="cat")
    with pytest.raises(AwaitingLabels, match="waiting for 1 label in"):
        oracle.ask(batch)
    earlier = tuple((("anna", word), ("ben", "cat"), ("dora", word)) for word in ("cat", "dog", "dog", "cat", "dog"))
    assert [answer.label for answer in oracle.ask(replace(batch, earlier=earlier))] == ["dog", *["cat"] * 7]


def test_new_classes_of_several_people(batch):
    oracle = Files(annotators=["anna", "ben", "cleo"], overlap=1, allow_new_classes=True)
    with pytest.raises(AwaitingLabels):
        oracle.ask(batch)
    give(batch, anna="owl", ben="owl", cleo="cat")
    assert {answer.label for answer in oracle.ask(batch)} == {"owl"}


def test_label_takes_over_the_file_of_a_person(photos, options, person, tmp_path, capsys):
    run = tmp_path / "run"
    argv = options(*PEOPLE, "--run_dir", str(run))
    assert main(argv) == 0
    theirs = tmp_path / "downloaded.csv"
    shutil.copy(run / "queries/initial.ben.csv", theirs)
    person(theirs, most=5)
    assert main(["label", str(run), str(theirs)]) == 0
    assert "5 of 14 labels copied into" in capsys.readouterr().out
    assert sum(bool(row["label"]) for row in rows(run / "queries/initial.ben.csv")) == 5
    assert main(["label", str(run), str(theirs), "--annotator", "cleo"]) == 2
    assert "is not in the labeling request initial.cleo: remove the line" in capsys.readouterr().err
    assert main(["label", str(run), str(theirs), "--annotator", "dora"]) == 2
    assert "expected --annotator to be one of anna, ben, cleo, who share initial, got dora" in capsys.readouterr().err
    theirs.write_text(
        "\n".join(",".join((row["path"], row["label"])) for row in [{"path": "path", "label": "label"}, *rows(theirs)])
    )
    assert main(["label", str(run), str(theirs)]) == 2
    assert "got none" in capsys.readouterr().err
    assert main(["label", str(run), str(theirs), "--annotator", "ben"]) == 0
    assert main([*argv[:-2], "--run_dir", str(run), "--oracle.annotators", "[anna, ben]"]) == 2
    assert "already requested in" in capsys.readouterr().err


def test_names_in_one_file_make_votes(photos, options, person, tmp_path, capsys):
    """Without ``oracle.annotators``: both people get the same file, and nobody's label replaces the other's."""
    run, truth = tmp_path / "run", photos[1]
    argv = options(*PERSON, "--loop.query_budget", "20", "--run_dir", str(run))
    assert main(argv) == 0
    ours = run / "queries/initial.csv"
    for name in ("anna", "ben", "cleo"):
        shutil.copy(ours, tmp_path / f"{name}.csv")
    paths = [row["path"] for row in rows(ours)]
    for name, mistake in (("anna", None), ("ben", paths[0]), ("cleo", paths[1])):
        if name != "anna":
            shutil.copy(tmp_path / "anna.csv", tmp_path / f"{name}.csv")
        said = {path: wrong(truth[path]) if path == mistake else truth[path] for path in paths}
        edit(tmp_path / f"{name}.csv", lambda row, said=said: said[row["path"]])
        capsys.readouterr()
        assert main(["label", str(run), str(tmp_path / f"{name}.csv"), "--annotator", name]) == 0
    said = capsys.readouterr().out
    assert "annotators disagree about 2 images, which `fit` lists" in said
    assert len(rows(ours)) == 90
    edit(tmp_path / "ben.csv", lambda row: truth[row["path"]])
    assert main(["label", str(run), str(tmp_path / "ben.csv"), "--annotator", "ben"]) == 0  # ben corrects himself
    assert f"'{paths[0]}': ben: {wrong(truth[paths[0]])}, then ben: {truth[paths[0]]}" in capsys.readouterr().out
    assert main(argv) == 0
    said = capsys.readouterr().out
    assert "annotators disagree about 1 of 30 images" in said
    assert f"cleo: {wrong(truth[paths[1]])}; counts: {truth[paths[1]]}" in said


def test_wrong_options_are_one_sentence(options, tmp_path, capsys):
    for words, said in (
        (["--oracle.annotators", "[a b]"], "letters, digits, _ and - in oracle.annotators"),
        (["--oracle.overlap", "0.5"], "at least two names"),
        (["--oracle.resolve", "guess"], "resolve"),
    ):
        assert main(options(*PERSON, *words, "--run_dir", str(tmp_path / "run"))) == 2
        assert said in capsys.readouterr().err
