"""A run packed into one file, and taken out of it elsewhere."""

import shutil
import tarfile

import pytest

from msal_lightning.cli.main import main
from msal_lightning.runs.records import read_records

TINY = [
    "fit", "--config", "digits", "--trainer.max_steps", "4", "--trainer.accelerator", "cpu", "--loop.query_size", "20",
    "--model.backbone.width", "4", "--loop.query_budget", "20",
]  # fmt: skip


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    run = tmp_path_factory.mktemp("archive") / "run"
    assert main([*TINY, "--run_dir", str(run)]) == 0
    (run / "checkpoints/fit.ckpt").write_bytes(b"in progress")
    (run / "wandb").mkdir()
    (run / "wandb/latest.log").write_text("of this machine")
    (run / "linked").symlink_to(run.parent)
    return run


def test_an_unpacked_run_goes_on(begun, tmp_path, capsys):
    for name in ("a.tar.gz", "b.tar.gz"):
        assert main(["archive", str(begun), "--out", str(tmp_path / name)]) == 0
    assert (tmp_path / "a.tar.gz").read_bytes() == (tmp_path / "b.tar.gz").read_bytes()
    with tarfile.open(tmp_path / "a.tar.gz") as archive:
        names = set(archive.getnames())
        assert {member.uname for member in archive} == {""}
        archive.extractall(tmp_path, filter="data")
    expected = {f"run/{file.relative_to(begun).as_posix()}" for file in begun.rglob("*") if file.is_file()}
    left_out = {"run/lock", "run/signature", "run/checkpoints/fit.ckpt", "run/wandb/latest.log"}
    assert names == {name for name in expected if not name.startswith("run/linked/")} - left_out
    assert main(["status", str(tmp_path / "run")]) == 0
    assert "on disk" in capsys.readouterr().out
    assert main(["extend", str(tmp_path / "run"), "--labels", "20"]) == 0
    whole = shutil.copytree(begun, tmp_path / "whole", ignore=lambda *_: ["wandb", "linked"])
    assert main(["extend", str(whole), "--labels", "20"]) == 0
    assert [r.queried for r in read_records(tmp_path / "run")] == [r.queried for r in read_records(whole)]


def test_models_may_stay_behind(begun, tmp_path):
    assert main(["archive", str(begun), "--out", str(tmp_path / "run.tgz"), "--without-models"]) == 0
    with tarfile.open(tmp_path / "run.tgz") as archive:
        assert not [name for name in archive.getnames() if name.endswith(".ckpt")]


def test_mistakes_are_one_sentence(begun, tmp_path, capsys):
    (tmp_path / "there.tar.gz").touch()
    for out, said in (
        (tmp_path / "run.zip", "expected --out to end in .tar.gz"),
        (tmp_path / "there.tar.gz", "exists: choose another name"),
        (begun / "in.tar.gz", "outside of the run"),
        (tmp_path / "no/such/run.tar.gz", "choose another --out"),
    ):
        assert main(["archive", str(begun), "--out", str(out)]) == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
