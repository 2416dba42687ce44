"""What is not ours is never deleted or overwritten: foreign folders are refused, whatever files they have."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

from msal_lightning.cli.main import main
from msal_lightning.errors import UserError
from msal_lightning.io.folder_mark import MARK, check_folder, claim_folder, read_mark, write_mark
from msal_lightning.runs.directory import RunDirectory

FIXTURE = Path(__file__).with_name("run_of_fac469c")
TINY = [
    "--config", "digits", "--query", "Random", "--loop.query_budget", "80", "--trainer.max_epochs", "1",
    "--trainer.accelerator", "cpu", "--trainer.precision", "32-true", "--model.backbone.width", "4",
]  # fmt: skip


def sealed(**body):
    digest = hashlib.blake2s(json.dumps(body, sort_keys=True).encode(), digest_size=8).hexdigest()
    return json.dumps({"format": 3, "digest": digest, **body})


FOREIGN = {  # of other programs and people
    "a hydra project": {"config.yaml": "model: resnet\n", "checkpoints/best.ckpt": "weights", "wandb/run-1/a": "log"},
    "a LightningCLI project": {"config.yaml": "trainer: {}\n", "lightning_logs/version_0/hparams.yaml": "{}"},
    "folders of our names": {f"{name}/a": "a" for name in ("rounds", "checkpoints", "fits", "embeddings", "queries")},
    "another program's rounds": {"rounds/000.json": '{"format": 3, "digest": "0123456789abcdef", "round": 0}'},
    "rounds that are lists": {"rounds/000.json": "[1, 2]", "rounds/initial.asked.json": "[]"},
    "a git checkout": {".git/HEAD": "ref: refs/heads/main\n", "README.md": "mine"},
    "dotfiles only": {".bashrc": "alias x=y\n", ".ssh/id": "secret"},
    "a lock": {"lock": "held by poetry\n"},
    "a mark of another program": {MARK: '{"settings": 1}', "config.yaml": "a: 1\n"},
    "a mark that is no JSON": {MARK: "hello"},
    "tables": {"curve.csv": "x,y\n", "ledger.csv": "date,amount\n"},
    "a temporary file of another program": {".thesis.tex.part": "half"},
}


def lay(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


def content(folder):
    return {str(f.relative_to(folder)): f.read_bytes() if f.is_file() else None for f in folder.rglob("*")}


@pytest.mark.parametrize("files", FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_foreign_folder_is_refused_by_a_run_and_stays_as_it_was(tmp_path, files, overwrite):
    folder = lay(tmp_path / "theirs", files)
    before = content(folder)
    with pytest.raises(UserError, match=r"not from a run of this program.*choose another run_dir"):
        RunDirectory(folder, {"seed": 0}, overwrite).open()
    assert content(folder) == before


@pytest.mark.parametrize("files", FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize("kind", ["sweep", "report", "query", "image cache"])
def test_a_foreign_folder_is_refused_by_every_kind(tmp_path, files, kind):
    folder = lay(tmp_path / "theirs", files)
    with pytest.raises(UserError, match=f"not from a {kind} of this program"):
        check_folder(folder, kind, "--out")


def test_a_folder_is_marked_once_and_then_recognised(tmp_path):
    folder = tmp_path / "a" / "b"
    assert check_folder(folder, "sweep", "--out")
    assert not folder.exists()
    claim_folder(folder, "sweep", "--out")
    assert read_mark(folder) == {"kind": "sweep", "format": 1}
    (folder / "notes.txt").write_text("mine")
    assert not check_folder(folder, "sweep", "--out")
    with pytest.raises(UserError, match=r"to be the folder of a report, found that of a sweep"):
        check_folder(folder, "report", "--out")


def test_keys_that_a_mark_has_already_are_kept(tmp_path):
    write_mark(tmp_path, "run", signature="abc")
    write_mark(tmp_path, "run")
    assert read_mark(tmp_path) == {"kind": "run", "format": 1, "signature": "abc"}
    write_mark(tmp_path, "run", signature="def", more=[1])
    assert read_mark(tmp_path) == {"kind": "run", "format": 1, "signature": "def", "more": [1]}


def test_a_mark_of_a_newer_version_is_named(tmp_path):
    (tmp_path / MARK).write_text('{"kind": "run", "format": 7}')
    with pytest.raises(UserError, match="a run of format 1, found that of a run of format 7"):
        check_folder(tmp_path, "run", "run_dir")


def test_a_link_to_a_folder_is_a_folder(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "disk")
    RunDirectory(tmp_path / "run", {"seed": 0}).open()
    assert (tmp_path / "disk" / MARK).exists()
    assert RunDirectory(tmp_path / "run", {"seed": 0}).open() == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes into read-only folders")
def test_a_read_only_folder_is_named(tmp_path):
    (tmp_path / "run").mkdir(mode=0o500)
    with pytest.raises(UserError, match="cannot write run_dir"):
        RunDirectory(tmp_path / "run", {"seed": 0}).open()


# ---------------------------------------------------------------- a run from before there were marks


@pytest.fixture
def before(tmp_path):
    """An unfinished run that commit fac469c made: two rounds of three, its checkpoint deleted."""
    return Path(shutil.copytree(FIXTURE, tmp_path / "before"))


def test_a_run_from_before_there_were_marks_is_read(before, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    as_it_was = content(before)
    assert main(["status", "before"]) == 0
    assert "2 of 3 rounds, 120 of 120 labels" in capsys.readouterr().out
    assert main(["report", "before", "--out", "out"]) == 2
    assert "before is left out: 2 of 3 rounds are finished" in capsys.readouterr().err
    assert content(before) == as_it_was


def test_a_run_from_before_there_were_marks_goes_on_and_is_marked(before, tmp_path):
    then = [*TINY, "--data.batch_size", "32", "--model.optimizer.lr", "0.001"]  # the configuration of those days
    whole = ["--run_dir", str(tmp_path / "whole"), "--data.last_batch", "keep"]  # the only way in those days
    assert main(["fit", *then, *whole]) == 0
    assert main(["fit", *then, "--run_dir", str(before)]) == 0
    assert read_mark(before)["kind"] == "run"
    assert (before / "ledger.csv").read_bytes() == (tmp_path / "whole" / "ledger.csv").read_bytes()
    last = [json.loads((run / "rounds" / "002.json").read_text()) for run in (before, tmp_path / "whole")]
    assert last[0]["metrics"] == last[1]["metrics"]  # of a model that was trained on the labels of the old records
    replay = ["replay", "--run", str(before), "--run_dir", str(tmp_path / "again")]
    assert main(replay) == 0
    assert (tmp_path / "again" / "ledger.csv").read_bytes() == (before / "ledger.csv").read_bytes()
    assert main(["report", str(before), "--out", str(tmp_path / "out")]) == 0
    assert read_mark(tmp_path / "out")["kind"] == "report"
    for other in (before, tmp_path):  # neither a run nor a folder of a person's
        assert main(["report", str(before), "--out", str(other)]) == 2


@pytest.mark.parametrize("left", ["rounds/000.json", "rounds/001.json"])
def test_one_good_record_is_enough(before, left):
    for file in (before / "rounds").iterdir():
        if file != before / left:
            file.write_text(file.read_text()[:50])
    with pytest.raises(UserError, match="is damaged"):
        RunDirectory(before, {"seed": 0}).open()


def test_labels_that_a_person_was_asked_for_are_enough(tmp_path):
    request = {"name": "initial", "record": None, "exchanges": [], "num_images": 9}
    lay(tmp_path / "run", {"rounds/initial.asked.json": json.dumps(request), "config.yaml": "seed: 0\n"})
    assert RunDirectory(tmp_path / "run", {"seed": 0}).open() == []
    with pytest.raises(UserError, match="pending labeling request"):
        RunDirectory(tmp_path / "run", {"seed": 1}).open()


def test_before_the_first_record_there_is_nothing_to_recognise(before):
    shutil.rmtree(before / "rounds")
    with pytest.raises(UserError, match="not from a run of this program"):
        RunDirectory(before, {"seed": 0}).open()
