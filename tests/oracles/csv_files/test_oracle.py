"""A loop whose labels come from a person who fills in CSV files."""

import csv
import shutil
import subprocess
import sys
from contextlib import closing

import pytest

from msal_lightning.cli.main import main
from msal_lightning.io.lock import DirectoryLock
from msal_lightning.runs.pending import read_pending
from msal_lightning.runs.records import read_records

PERSON = ["--data.unlabeled", "true", "--oracle", "Files"]


def rows(file):
    with file.open(newline="") as text:
        return list(csv.DictReader(text))


def everything(folder):
    """All bytes of a run but those of the lock."""
    return {f: f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file() and f.name != "lock"}


def test_a_person_ends_where_known_labels_do(photos, options, person, tmp_path, capsys, until_done):
    request = until_done(options(*PERSON), tmp_path / "asked", person)
    assert request == ["initial", "round-000", "round-001"]
    assert "waiting for 30 labels in" in capsys.readouterr().out
    simulated = options("--data.csv", str(photos[0] / "labels.csv"), "--run_dir", str(tmp_path / "known"))
    assert main(simulated) == 0
    assert (tmp_path / "asked/ledger.csv").read_bytes() == (tmp_path / "known/ledger.csv").read_bytes()
    assert [r.metrics for r in read_records(tmp_path / "asked")] == [
        r.metrics for r in read_records(tmp_path / "known")
    ]
    assert not list((tmp_path / "asked").glob("rounds/*.asked.json"))
    assert {f.name for f in (tmp_path / "asked/queries").iterdir()} == {
        f"{name}.{kind}" for name in request for kind in ("csv", "html")
    }


def test_waits_as_long_as_it_takes(photos, options, person, tmp_path, capsys):
    argv = options(*PERSON, "--run_dir", str(tmp_path / "run"))
    assert main(argv) == 0
    assert "accuracy is" not in capsys.readouterr().out
    file = tmp_path / "run/queries/initial.csv"
    person(file, most=11)
    before = file.read_bytes()
    capsys.readouterr()
    assert main(argv) == 0
    assert f"waiting for 19 labels in {file}" in capsys.readouterr().out
    assert file.read_bytes() == before
    person(file)
    capsys.readouterr()
    assert main(argv) == 0
    accuracy = read_pending(tmp_path / "run", "round-000").record["metrics"]["accuracy"]
    assert f"    0       30    {accuracy:.4f}" in capsys.readouterr().out  # of the model that asks
    batch = rows(tmp_path / "run/queries/round-000.csv")
    assert [int(row["rank"]) for row in batch] == list(range(20))
    assert [float(row["score"]) for row in batch] == sorted((float(r["score"]) for r in batch), reverse=True)
    assert {row["suggested"] for row in batch} <= set("0123456789")
    assert {row["label"] for row in batch} == {""}
    record = tmp_path / "run/rounds/000.asked.json"
    model = tmp_path / "run/checkpoints/round-000.ckpt"
    times = record.stat().st_mtime_ns, model.stat().st_mtime_ns
    assert main(argv) == 0  # nothing is trained again
    assert (record.stat().st_mtime_ns, model.stat().st_mtime_ns) == times


def test_skipped_images_are_replaced_by_the_next_best(photos, options, person, tmp_path, until_done):
    argv, run = options(*PERSON), tmp_path / "run"
    assert main([*argv, "--run_dir", str(run)]) == 0
    first = [row["path"] for row in rows(run / "queries/initial.csv")]
    say = {first[0]: "skip", first[7]: "unsure"}
    person(run / "queries/initial.csv", say)
    assert main([*argv, "--run_dir", str(run)]) == 0
    assert len(rows(run / "queries/initial-2.csv")) == 2
    person(run / "queries/initial-2.csv")
    assert main([*argv, "--run_dir", str(run)]) == 0
    chosen = [row["path"] for row in rows(run / "queries/round-000.csv")]
    say |= {chosen[3]: "skip"}
    assert until_done(argv, run, lambda file: person(file, say)) == ["round-000", "round-000-2", "round-001"]
    records = read_records(run)
    assert [record.num_labeled for record in records] == [30, 50, 70]
    assert records[0].skipped.reason == ["skip", "unsure", "skip"]
    ledger = [row["path"] for row in rows(run / "ledger.csv")]
    assert not {first[0], first[7], chosen[3]} & {*ledger}
    assert len(ledger) == len({*ledger}) == 70
    # Margin without that image: the other 19, and the one that had come next
    assert [row["path"] for row in rows(run / "ledger.csv") if row["round"] == "1"][:19] == [
        path for path in chosen if path != chosen[3]
    ]


def test_new_classes_are_refused_or_admitted(photos, options, person, tmp_path, capsys, until_done):
    argv, run = options(*PERSON), tmp_path / "run"
    assert main([*argv, "--run_dir", str(run)]) == 0
    path = rows(run / "queries/initial.csv")[4]["path"]
    person(run / "queries/initial.csv", {path: "letter"})
    before = everything(run)
    assert main([*argv, "--run_dir", str(run)]) == 2
    assert "line 6: the class 'letter' is not known" in capsys.readouterr().err
    assert everything(run) == before
    admitted = [*argv, "--oracle.allow_new_classes", "true"]
    assert main([*admitted, "--run_dir", str(run)]) == 0
    until_done(admitted, run, person)
    records = read_records(run)
    assert records[-1].num_labeled == 70
    assert records[0].class_names[-1] == "letter"
    assert {row["label"] for row in rows(run / "ledger.csv")} == {str(c) for c in range(11)}


def test_nothing_known_at_first(photos, options, person, tmp_path, capsys):
    folder, _ = photos
    shutil.rmtree(folder / "test/7")  # a class that the test set does not have
    assert main(options(*PERSON, "--run_dir", str(tmp_path / "run"))) == 0
    person(tmp_path / "run/queries/initial.csv")
    assert main(options(*PERSON, "--run_dir", str(tmp_path / "run"))) == 2
    assert "the class '7' is not known" in capsys.readouterr().err
    assert main(options(*PERSON, "--data.classes", "[a, b]", "--run_dir", str(tmp_path / "b"))) == 2
    assert "to be among data.classes" in capsys.readouterr().err


def test_known_labels_go_first(photos, options, person, tmp_path, until_done):
    folder, truth = photos
    known = [*sorted(truth.items())][:25]
    with (folder / "known.csv").open("w", newline="") as out:
        csv.writer(out).writerows([("path", "label"), *known])
    argv = options(*PERSON, "--data.csv", str(folder / "known.csv"))
    assert main([*argv, "--run_dir", str(tmp_path / "run")]) == 0
    assert len(rows(tmp_path / "run/queries/initial.csv")) == 5
    until_done(argv, tmp_path / "run", person)
    initial = {row["path"] for row in rows(tmp_path / "run/ledger.csv") if row["round"] == "0"}
    assert {path for path, _ in known} < initial
    assert len(initial) == 30


def test_label_takes_over_a_file(photos, options, person, tmp_path, capsys):
    argv = options(*PERSON, "--run_dir", str(tmp_path / "run"))
    assert main(argv) == 0
    ours, theirs = tmp_path / "run/queries/initial.csv", tmp_path / "downloaded (1).csv"
    shutil.copy(ours, theirs)
    person(theirs, most=10)
    capsys.readouterr()
    assert main(["label", str(tmp_path / "run"), str(theirs)]) == 0
    assert "10 of 30 labels copied into" in capsys.readouterr().out
    assert sum(bool(row["label"]) for row in rows(ours)) == 10
    header, line, *rest = theirs.read_text().splitlines()
    other = "0" if line[-1] != "0" else "1"
    (tmp_path / "corrected.csv").write_text("\n".join([header, line[:-1] + other, *rest]))
    lock = DirectoryLock(tmp_path / "run/lock")
    with closing(lock):
        held = "import sys; from msal_lightning.cli.main import main; sys.exit(main(sys.argv[1:]))"
        words = ["label", str(tmp_path / "run"), str(tmp_path / "corrected.csv")]
        lock.acquire()
        done = subprocess.run([sys.executable, "-c", held, *words], capture_output=True, text=True, check=False)
        assert (done.returncode, "is in use by process" in done.stderr) == (2, True)
    # what a kill leaves of our file goes, a file of another name stays
    killed, theirs_too = ours.with_name(".initial.csv.0123abcd.part"), ours.with_name(".notes.0123abcd.part")
    killed.touch(), theirs_too.touch()
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "(1 former label replaced)" in said
    assert not killed.exists()
    assert theirs_too.exists()
    path = line.partition(",")[0]
    assert f"'{path}': {line[-1]}, then {other}" in said
    replaced = tmp_path / "run/queries/initial-replaced.csv"
    assert replaced.read_text() == f"{path},{line[-1]},{other}\n"
    shutil.copy(ours, theirs)
    lines = theirs.read_text().splitlines()
    theirs.write_text("\n".join([lines[0], *lines[:0:-1]]) + "\n")  # another order, as from a spreadsheet
    person(theirs)
    assert main(["label", str(tmp_path / "run"), str(theirs)]) == 0
    assert "all are there" in capsys.readouterr().out
    assert main(argv) == 0
    assert (tmp_path / "run/queries/round-000.csv").exists()
    assert main(["label", str(tmp_path / "run"), str(theirs)]) == 2
    assert "got none of them: it belongs to another round or run" in capsys.readouterr().err


@pytest.fixture
def waiting(photos, options, tmp_path):
    """A run that waits for its initial labels, and its file's lines."""
    assert main(options(*PERSON, "--run_dir", str(tmp_path / "run"))) == 0
    return tmp_path / "run", (tmp_path / "run/queries/initial.csv").read_text().splitlines()


def edit(lines, number, change):
    return "\n".join([*lines[: number - 1], change(lines[number - 1]), *lines[number:]]) + "\n"


def path_of(line):
    return line.partition(",")[0]


BROKEN = {
    "unknown class": (lambda t: edit(t, 3, lambda s: s + "horse"), "line 3: the class 'horse' is not known"),
    "class in capitals": (lambda t: edit(t, 3, lambda s: s + "SKIP"), "did you mean skip"),
    "unknown path": (
        lambda t: "\n".join([*t, "nowhere.png,,,,1"]),
        "'nowhere.png' is not in the labeling request initial",
    ),
    "changed path": (lambda t: edit(t, 4, lambda s: "x" + s), "was '"),
    "path twice": (lambda t: "\n".join([*t, t[1]]), "is already in line 2"),
    "missing line": (lambda t: "\n".join(t[:-1]), "expected a line for"),
    "wrong columns": (lambda t: "\n".join(["file,class", *t[1:]]), "expected the columns path and label"),
    "no header": (lambda t: "\n".join(t[1:]), "expected the columns path and label"),
    "a column twice": (lambda t: "\n".join(["path,label,score,rank,label", *t[1:]]), "got label twice"),
    "empty file": (lambda t: "", "got nothing"),
    "too many fields": (lambda t: edit(t, 5, lambda s: s + "1,2,3"), "line 5: expected 5 fields"),
    "open quote": (lambda t: edit(t, 6, lambda s: s + '"1'), "correct the quotes there"),
    "NUL bytes": (lambda t: "\n".join(t) + "\0", "got NUL bytes"),
    "not UTF-8": (lambda t: "\n".join(t).encode("utf-16"), "expected UTF-8 text"),
    "another question": (lambda t: "\n".join([t[0], "a.png,,,0,1", "b.png,,,1,1"]), "belongs to another round or run"),
    "a picture": (lambda t: b"\x89PNG\r\n\x1a\n" + bytes(50), "expected UTF-8 text"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_changes_nothing(kind, waiting, tmp_path, capsys):
    run, lines = waiting
    change, said = BROKEN[kind]
    content = change(lines)
    file = tmp_path / "filled.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    before = everything(run)
    capsys.readouterr()
    assert main(["label", str(run), str(file)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
    assert everything(run) == before


def test_a_device_is_not_read(waiting, capsys):
    run, _ = waiting
    before = everything(run)
    assert main(["label", str(run), "/dev/zero"]) == 2  # it never ends
    assert "cannot read '/dev/zero' (it is no regular file)" in capsys.readouterr().err
    assert everything(run) == before


def test_all_bad_lines_are_told_at_once(waiting, tmp_path, capsys):
    run, lines = waiting
    bad = [lines[0], lines[1] + "horse", lines[2] + "1", lines[3] + "cow", "nowhere.png,,,,2", *lines[4:]]
    (tmp_path / "filled.csv").write_text("\n".join(bad))
    capsys.readouterr()
    assert main(["label", str(run), str(tmp_path / "filled.csv")]) == 2
    error = capsys.readouterr().err
    assert "3 lines of" in error
    assert all(f"line {number}: " in error for number in (2, 4, 5))


def test_what_a_spreadsheet_makes_of_it_is_read(waiting, photos, tmp_path, capsys):
    run, lines = waiting
    truth = photos[1]
    table = [[path_of(line), f" {truth[path_of(line)]} "] for line in lines[1:]]
    text = "\ufeff" + "\r\n".join([";".join(("Path", "Label")), *(";".join(row) for row in table), ""])
    (tmp_path / "filled.csv").write_bytes(text.encode())
    capsys.readouterr()
    assert main(["label", str(run), str(tmp_path / "filled.csv")]) == 0
    assert "30 of 30 labels copied" in capsys.readouterr().out


@pytest.mark.parametrize("argument", ["folder", "missing.csv"])
def test_what_is_no_file_is_a_sentence(argument, waiting, tmp_path, capsys):
    run, _ = waiting
    (tmp_path / "folder").mkdir()
    assert main(["label", str(run), str(tmp_path / argument)]) == 2
    assert "give a CSV file with the columns path and label" in capsys.readouterr().err
    assert main(["label", str(tmp_path), "x.csv"]) == 2
    assert "to be a run directory" in capsys.readouterr().err
