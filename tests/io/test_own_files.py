"""Clearing removes what a run wrote, by name; what else is in the folder stays."""

import pytest

from msal_lightning.data.fingerprint import FILES as FINGERPRINT_FILES
from msal_lightning.errors import UserError
from msal_lightning.io.folder_mark import MARK
from msal_lightning.io.own_files import others, remove_own
from msal_lightning.runs.directory import RunDirectory
from msal_lightning.runs.embeddings import FILES as EMBEDDINGS_FILES
from msal_lightning.runs.records import LabeledImages, RoundRecord
from msal_lightning.tracking import FILES as TRACKING_FILES

OURS = [
    "config.yaml", "curve.csv", "per_class.csv", "images.jsonl.gz", "tracker.json", "ledger.csv", "rounds/000.json",
    "rounds/1000.json", "rounds/001.asked.json",
    "rounds/initial.asked.json", "checkpoints/round-000.ckpt", "checkpoints/fit.ckpt", "hpc_ckpt_1.ckpt",
    "signature", "fits/000/metrics.csv", "fits/000/hparams.yaml", "embeddings/000.npz", "queried/000.json", "wandb_id",
    "wandb/debug.log", "wandb/debug-internal.log", "wandb/offline-run-20240102_030405-abcd1234/run-abcd1234.wandb",
    "wandb/run-20240102_030405-abcd1234/files/media/a.png", "checkpoints/.fit.ckpt.0123abcd.part", ".curve.csv.part",
    ".ledger.csv.0123abcd.part",
]  # fmt: skip
THEIRS = [
    "notes.txt", "config.yaml.bak", "my/config.yaml", "rounds/000.json.orig", "rounds/0.json", "rounds/notes.json",
    "checkpoints/best.ckpt", "checkpoints/round-1.ckpt", "checkpoints/round-000.ckpt.bak", "checkpoints/deep/fit.ckpt",
    "fits/notes.md", "fits/000/notes.md", "embeddings/pca.npy", "wandb/sweep.yaml", "my/rounds/000.json",
    "wandb/run-20240102_030405-abcd1234/notes.md", "checkpoints/.notes.txt.part", "hpc_ckpt_last.ckpt", ".thesis.part",
]  # fmt: skip
PATTERNS = (*EMBEDDINGS_FILES, *FINGERPRINT_FILES, *TRACKING_FILES)


def run_directory(path, seed=0, overwrite=False):
    run = RunDirectory(path, {"seed": seed}, overwrite)
    run.written_by_others = PATTERNS
    return run


def record(k):
    return RoundRecord(k, 2, 8, {"accuracy": 0.5}, {}, None, [], LabeledImages(), LabeledImages(), {})


@pytest.fixture
def full(tmp_path):
    """A run directory with everything that a run may write, and what a person put beside it."""
    run = run_directory(tmp_path / "run")
    run.open()
    run.close()
    for name in [*OURS, *THEIRS]:
        (run.path / name).parent.mkdir(parents=True, exist_ok=True)
        (run.path / name).write_text("seed: 0" if name == "config.yaml" else "content")
    (run.path / "wandb" / "latest-run").symlink_to("offline-run-20240102_030405-abcd1234")
    return run.path


def files(folder):
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*") if not file.is_dir() or file.is_symlink()}


def test_overwrite_removes_what_a_run_wrote_and_names_the_rest(full):
    run = run_directory(full, seed=1, overwrite=True)
    assert run.open() == []
    assert files(full) == {*THEIRS, "config.yaml", "lock", "signature", MARK}
    assert (full / "config.yaml").read_text() == "seed: 1\n"
    inside = ("rounds/", "checkpoints/", "fits/", "embeddings/", "wandb/")
    assert set(run.left) == {name for name in THEIRS if "/" not in name or name.startswith(inside)} | {"my/"}
    assert not (full / "queried").exists()  # empty folders go
    assert (full / "checkpoints" / "deep").exists()


def test_another_configuration_before_the_first_round_replaces_the_files_of_that_round(full):
    for file in (full / "rounds").glob("*.json"):
        file.unlink()
    assert run_directory(full, seed=1).open() == []
    wandb = {name for name in OURS if name.startswith("wandb/")} | {"wandb/latest-run"}
    assert files(full) == {*THEIRS, *wandb, "config.yaml", "lock", "signature", MARK} - {
        "rounds/notes.json",
        "rounds/0.json",
    }


def test_a_persons_questions_are_set_aside(full):
    (full / "queries").mkdir()
    (full / "queries" / "round-000.csv").write_text("labels")
    run_directory(full, seed=1, overwrite=True).open()
    assert (full / "queries-1" / "round-000.csv").read_text() == "labels"


@pytest.mark.parametrize("keep", ["last", "all", "none"])
def test_a_persons_file_among_the_checkpoints_survives_ten_commits(tmp_path, keep):
    run = run_directory(tmp_path / "run")
    run.keep_checkpoints = keep
    run.open()
    (run.path / "checkpoints").mkdir()
    for name in ("best.ckpt", "round-best.ckpt", "notes.txt"):
        (run.path / "checkpoints" / name).write_text("mine")
    (run.path / "checkpoints" / "round-099.ckpt").mkdir()  # a folder is none of ours, whatever its name
    for k in range(10):
        run.model_file(k).write_text("model")
        run.fit_checkpoint.write_text("fit")
        run.commit(record(k))
    kept = {"last": ["009"], "all": [f"{k:03d}" for k in range(10)], "none": []}[keep]
    expected = {"best.ckpt", "round-best.ckpt", "notes.txt", "round-099.ckpt", *(f"round-{k}.ckpt" for k in kept)}
    assert {file.name for file in (run.path / "checkpoints").iterdir()} == expected


# ---------------------------------------------------------------- links


@pytest.fixture
def elsewhere(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    for name in ("000.json", "round-000.ckpt", "fit.ckpt", "thesis.tex"):
        (tmp_path / "elsewhere" / name).write_text("mine")
    return tmp_path / "elsewhere"


@pytest.mark.parametrize("name", ["rounds", "checkpoints", "fits", "embeddings", "queried", "queries", "wandb"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_that_lies_elsewhere_is_refused(tmp_path, elsewhere, name, overwrite):
    run_directory(tmp_path / "run").open()
    if (tmp_path / "run" / name).exists():
        (tmp_path / "run" / name).rmdir()
    (tmp_path / "run" / name).symlink_to(elsewhere)
    with pytest.raises(UserError, match=f"expected '.*{name}' to be a folder, found a symbolic link"):
        run_directory(tmp_path / "run", overwrite=overwrite).open()
    assert {file.read_text() for file in elsewhere.iterdir()} == {"mine"}
    assert len(files(elsewhere)) == 4


def test_files_are_never_written_or_removed_through_links(tmp_path, elsewhere):
    run = run_directory(tmp_path / "run")
    run.open()
    thesis = elsewhere / "thesis.tex"
    (run.path / "checkpoints").mkdir()
    links = ["curve.csv", "ledger.csv", ".curve.csv.part", ".curve.csv.0123abcd.part", "rounds/000.json"]
    for name in [*links, "checkpoints/round-000.ckpt", "checkpoints/fit.ckpt"]:
        (run.path / name).symlink_to(thesis)
    run.commit(record(0))
    run.commit(record(1))
    assert thesis.read_text() == "mine"
    assert not (run.path / "curve.csv").is_symlink()
    assert len(run_directory(run.path).open()) == 2
    (run.path / "hpc_ckpt_1.ckpt").symlink_to(thesis)
    run_directory(run.path, seed=1, overwrite=True).open()
    assert thesis.read_text() == "mine"


def test_a_lock_that_is_a_link_is_refused(tmp_path, elsewhere):
    run_directory(tmp_path / "run").open()
    (tmp_path / "run" / "lock").unlink()
    (tmp_path / "run" / "lock").symlink_to(elsewhere / "thesis.tex")
    with pytest.raises(UserError, match=r"lock' to be a file of this program, found a symbolic link: remove the link"):
        run_directory(tmp_path / "run").open()
    assert (elsewhere / "thesis.tex").read_text() == "mine"


def test_links_to_folders_are_not_entered(tmp_path, elsewhere):
    folder = tmp_path / "folder"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "more").symlink_to(elsewhere)
    remove_own(folder, [r"checkpoints/.*\.ckpt", r"checkpoints/.*\.json"])
    assert len(files(elsewhere)) == 4
    assert others(folder, [r"checkpoints/.*\.ckpt"]) == ["checkpoints/more"]
