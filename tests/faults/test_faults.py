"""What else goes wrong: a clear error or a correct recovery, and nothing committed is lost."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

COMMAND = [
    "fit", "--config", "digits", "--run_dir", "run", "--loop.query_budget", "80", "--loop.checkpoint_seconds", "0",
    "--trainer.max_epochs", "3", "--trainer.accelerator", "cpu", "--model.backbone.width", "32",
]  # fmt: skip


@pytest.fixture(scope="module")
def whole(serve, tmp_path_factory):
    """An uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole")
    assert serve(COMMAND, folder) == 0
    return folder


@pytest.fixture(scope="module")
def killed(serve, tmp_path_factory):
    """The same run, killed in the fit of round 2 after its second epoch's checkpoint."""
    folder = tmp_path_factory.mktemp("killed")
    note = folder / "note"
    for _ in range(3):  # the records of rounds 0 and 1 first, then into the fit of round 2
        serve(COMMAND, folder, {"phase": "after commit", "event": 1, "note": str(note)})
        if len(list((folder / "run" / "rounds").iterdir())) == 2:
            break
    serve(COMMAND, folder, {"phase": "epoch end", "event": 45, "note": str(note)})
    assert (folder / "run" / "checkpoints" / "fit.ckpt").exists()
    assert not (folder / "run" / "rounds" / "002.json").exists()
    return folder


@pytest.fixture
def broken(killed, tmp_path):
    """A copy of the killed run."""
    shutil.copytree(killed / "run", tmp_path / "run")
    return tmp_path


@pytest.fixture
def table(faults_table, request):
    def add(fault, outcome, afterwards="same result as uninterrupted"):
        faults_table("Other faults", {"fault": fault, "what happens": outcome, "afterwards": afterwards})

    return add


def records(folder):
    if not (folder / "run").exists():  # before the first command
        return {}
    return {file.name: file.read_bytes() for file in (folder / "run" / "rounds").iterdir()}


def refused(serve, folder, *words, command=COMMAND, spec=None):
    """The command ends with exit code 2 and one sentence, and leaves all records as they were."""
    before = records(folder)
    assert serve(command, folder, spec) == 2, (folder / "log").read_text()
    assert records(folder) == before
    last = (folder / "log").read_text().splitlines()[-1]
    assert last.startswith("error: ")
    assert all(word in last for word in words), last
    assert "Traceback" not in (folder / "log").read_text()
    return last.removeprefix("error: ")


def goes_on(serve, folder, whole, differences):
    assert serve(COMMAND, folder) == 0, (folder / "log").read_text()
    assert differences(folder / "run", whole / "run") == []


def cut(file):
    file.write_bytes(file.read_bytes()[:-100])


def empty(file):
    file.write_bytes(b"")


def foreign(file):
    shutil.copy(Path(__file__), file)


def edit(file):
    file.write_text(file.read_text().replace('"num_labeled": 80', '"num_labeled": 81'))


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(cut, id="truncated"),
        pytest.param(empty, id="empty", marks=pytest.mark.faults),
        pytest.param(foreign, id="foreign", marks=pytest.mark.faults),
    ],
)
def test_checkpoint(damage, serve, whole, broken, differences, table, request):
    damage(broken / "run" / "checkpoints" / "fit.ckpt")
    goes_on(serve, broken, whole, differences)
    assert "fit.ckpt' is damaged or not from this program" in (broken / "log").read_text()
    table(f"{request.node.callspec.id} checkpoint", "says so, the fit of the round starts again")


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(cut, id="truncated", marks=pytest.mark.faults),
        pytest.param(empty, id="empty", marks=pytest.mark.faults),
        pytest.param(edit, id="hand-edited"),
    ],
)
def test_record(damage, serve, whole, broken, differences, table, request):
    damage(broken / "run" / "rounds" / "001.json")
    said = refused(serve, broken, "rounds/001.json", "move it and all later records to another folder")
    (broken / "run" / "rounds" / "001.json").rename(broken / "001.json")
    goes_on(serve, broken, whole, differences)
    table(f"{request.node.callspec.id} record", f"exit code 2: {said}")


@pytest.mark.faults
def test_missing_record(serve, whole, broken, differences, table):
    first = broken / "run" / "rounds" / "000.json"
    content = first.read_bytes()
    first.unlink()
    said = refused(serve, broken, "expected the record of round 0", "restore 000.json")
    first.write_bytes(content)
    goes_on(serve, broken, whole, differences)
    table("missing record in the middle", f"exit code 2: {said}")


def test_full_disk_at_a_checkpoint_of_the_fit(serve, whole, tmp_path, differences, table):
    command = [*COMMAND, "--loop.keep_checkpoints", "none"]
    assert serve(command, tmp_path, {"fsize": 100_000}) == 0
    assert (
        "could not save the fit of round 0 (File too large); after a kill the run repeats it"
        in (tmp_path / "log").read_text()
    )
    ledgers = [(folder / "run" / "ledger.csv").read_bytes() for folder in (tmp_path, whole)]
    assert ledgers[0] == ledgers[1]
    table("no room for the checkpoint of a fit", "says so and goes on")


def test_full_disk_at_the_model(serve, whole, broken, differences, table):
    said = refused(
        serve, broken, "cannot write 'checkpoints/round-002.ckpt'", "File too large", spec={"fsize": 100_000}
    )
    goes_on(serve, broken, whole, differences)
    table("no room for the model of a round", f"exit code 2: {said}")


def test_full_disk_at_the_record(serve, whole, broken, differences, table):
    command = [*COMMAND, "--loop.keep_checkpoints", "none"]
    words = "cannot write the record of round 2", "File too large", "the same command resumes the run"
    said = refused(serve, broken, *words, command=command, spec={"fsize": 800})
    goes_on(serve, broken, whole, differences)
    table("no room for the record", f"exit code 2: {said}")


def test_read_only_run_directory(serve, whole, tmp_path, differences, table):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root can mount a read-only disk, and only a disk stops root")
    try:
        serve(COMMAND, disk, {"phase": "after commit", "event": 1, "note": str(tmp_path / "note")})
        command = [*COMMAND, "--run_dir", "disk/run"]
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        assert serve(command, tmp_path) == 2
        said = (tmp_path / "log").read_text().splitlines()[-1]
        assert "cannot write run_dir 'disk/run' (Read-only file system): set it to a folder that you can write" in said
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        goes_on(serve, disk, whole, differences)
    finally:
        subprocess.run(["umount", disk], check=True)
    table("read-only run directory", f"exit code 2: {said.removeprefix('error: ')}")


@pytest.mark.faults
def test_changed_configuration(serve, whole, broken, differences, table):
    said = refused(serve, broken, "query.init_args.beta was 5.0, now 7.0", command=[*COMMAND, "--query.beta", "7"])
    goes_on(serve, broken, whole, differences)
    table("changed configuration", f"exit code 2: {said}")


@pytest.mark.faults
def test_changed_dataset(serve, whole, broken, differences, table):
    """One image less: the same class by name, from another file."""
    module = "from msal_lightning.data import Digits as All, Images\n\nclass Digits(All):\n    def load(self):\n"
    module += (
        "        learn, test = super().load()\n        return Images(learn.image[:{n}], learn.label[:{n}]), test\n"
    )
    command = [*COMMAND, "--data", "mine.Digits", "--data.batch_size", "40"]
    (broken / "mine.py").write_text(module.format(n=1297))
    shutil.rmtree(broken / "run")
    serve(command, broken, {"phase": "after commit", "event": 1, "note": str(broken / "note")})
    (broken / "mine.py").write_text(module.format(n=1296) + "\n")  # Python knows compiled files by time and size
    said = refused(serve, broken, "there were 1,297 train images", "are 1,296 now", command=command)
    (broken / "mine.py").write_text(module.format(n=1297) + "\n\n")
    assert serve(command, broken) == 0
    assert differences(broken / "run", whole / "run") == []
    table("changed dataset size", f"exit code 2: {said}")


def test_diverged_loss(serve, tmp_path, table):
    command = [*COMMAND, "--model.optimizer.lr", "1e30"]
    said = refused(serve, tmp_path, "the loss became NaN or infinite", "of round 0", "loop.on_nan", command=command)
    table("NaN loss", f"exit code 2: {said}", "finished rounds stay")


def test_killed_loader_worker(serve, tmp_path, differences, table, digit_files):
    command = [
        *COMMAND, "--data", "ImageFolder", "--data.root", str(digit_files / "train"), "--data.test_root",
        str(digit_files / "test"), "--data.size", "8", "--data.channels", "1", "--data.batch_size", "16",
        "--data.in_memory", "false", "--data.num_workers", "2", "--trainer.max_epochs", "2", "--loop.query_budget", "0",
    ]  # fmt: skip
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        folder.mkdir()
    assert serve(command, whole) == 0
    spec = {"phase": "mid-epoch", "event": 3, "worker": True, "note": str(tmp_path / "note")}
    said = refused(
        serve, broken, "a process that reads images was killed", "data.num_workers", command=command, spec=spec
    )
    assert serve(command, broken) == 0
    assert differences(broken / "run", whole / "run") == []
    table("killed loader worker", f"exit code 2: {said}")


@pytest.mark.faults
def test_wandb_ends_as_one_run_with_one_curve(serve, tmp_path, monkeypatch, table, read_wandb):
    """Killed twice, then between the last record and the end: the last offline run holds the whole curve."""
    command = [*COMMAND, "--logger", "wandb"]
    environment = {"env": {"WANDB_MODE": "offline"}}

    def later(spec):
        time.sleep(5)  # W&B's own process, which outlives a kill for a moment, refuses the run's id to the next one
        return serve(command, tmp_path, spec)

    for phase in ("pool pass", "selection"):
        later(environment | {"phase": phase, "event": 1, "note": str(tmp_path / "note")})
    assert later(environment | {"phase": "finish", "event": 1, "note": str(tmp_path / "note")}) == -9
    assert len(list((tmp_path / "run" / "rounds").iterdir())) == 3
    assert later(environment) == 0
    ids = {folder.name.rpartition("-")[2] for folder in (tmp_path / "run" / "wandb").glob("offline-run-*")}
    assert ids == {(tmp_path / "run" / "wandb_id").read_text().split()[0]}
    last = max((tmp_path / "run" / "wandb").glob("offline-run-*"), key=lambda folder: folder.name)
    curve, summary, artifacts = read_wandb(last)
    assert [n for n, _ in curve] == [40, 80, 120]
    assert {"AUBC", "final_accuracy"} <= set(summary)
    assert artifacts == ["dataset", "run_table", "run_table"]  # the ledger, and what each of the two queries queried
    assert os.environ["WANDB_MODE"] == "disabled"
    before = len(list((tmp_path / "run" / "wandb").glob("offline-run-*")))
    assert serve(command, tmp_path, environment) == 0  # all is told: no further run
    assert len(list((tmp_path / "run" / "wandb").glob("offline-run-*"))) == before
    table(
        "kills with W&B offline",
        "one run id, the last folder has curve, tables, summary and ledger, each once",
        "finished",
    )


def test_records_hold_each_label_once(whole):
    """Bought labels and recorded labels are the same, whatever happened."""
    queried = [json.loads(file.read_text()) for file in sorted((whole / "run" / "rounds").iterdir())]
    index = [i for record in queried for i in record["initial"]["index"] + record["bought"]["index"]]
    assert len(index) == len(set(index)) == 120
