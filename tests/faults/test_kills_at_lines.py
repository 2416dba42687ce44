"""SIGKILL at the instants where a kill could hurt most; random instants seldom meet them."""

import csv
import json

import pytest
import torch

pytestmark = pytest.mark.faults

COMMAND = [
    "fit", "--config", "digits", "--run_dir", "run", "--loop.query_budget", "80", "--loop.checkpoint_seconds", "0",
    "--loop.pool_error", "true", "--trainer.max_epochs", "4", "--trainer.accelerator", "cpu",
    "--model.backbone.width", "4", "--model.optimizer.lr", "0.01", "--data.batch_size", "16",
    "--model.lr_scheduler", "torch.optim.lr_scheduler.StepLR", "--model.lr_scheduler.step_size", "1",
    "--model.lr_scheduler.gamma", "0.7", "--query", "CEAL", "--query.threshold", "2.25",
]  # fmt: skip


# one kill, or several one after the other
KILLS = {
    "before the mark is there": ["replace msal_lightning.json"],
    "before config.yaml is there": ["replace config.yaml"],
    "after config.yaml": ["replaced config.yaml"],
    "after the initial set is drawn": ["before fit"],
    "before a fit is written": ["write fit.ckpt#2"],
    "while a fit is written": [{"half_written": "fit.ckpt"}],
    "between part and replace of a fit": ["replace fit.ckpt#2"],
    "at the end of an epoch, before it is logged": ["epoch end#2"],
    "at the end of the last epoch": ["epoch end#4"],
    "after a fit is saved between two epochs": ["fit saved#2"],
    "between the end of a fit and its save": ["fit ended"],
    "after the end of a fit is saved": ["fit saved#4"],
    "three times in the same epochs": ["write fit.ckpt#2"] * 3,
    "again before the resumed fit logs an epoch": ["fit saved#3", "epoch end"],
    "before the selection is labeled": ["label the selection"],
    "after it is labeled": ["set pseudo-labels#2"],
    "between part and replace of a model": ["replace round-000.ckpt"],
    "after the model is saved": ["replaced round-001.ckpt"],
    "while a record is written": ["write 000.json"],
    "between part and replace of a record": ["replace 000.json"],
    "after the record": ["replaced 001.json"],
    "between curve and ledger": ["append to ledger.csv"],
    "between them in the last round": ["append to ledger.csv#1"],
    "before the first checkpoint is dropped": ["drop a checkpoint"],
    "before the last checkpoints are dropped": ["drop checkpoints#3"],
    "before a round is logged": ["after the record#2"],
    "before the end is told": ["before the end is told"],
}


@pytest.fixture(scope="module")
def whole(serve, tmp_path_factory):
    """What the uninterrupted run leaves."""
    folder = tmp_path_factory.mktemp("whole")
    assert serve(COMMAND, folder) == 0, (folder / "log").read_text()
    left = contents(folder / "run")
    assert left["records"]["001.json"]["pseudo_labels"]["index"]  # the next fit depends on them
    return left


def rows(file):
    """Of a CSV file, without times; columns that come later leave empty fields before."""
    table = csv.DictReader(file.read_text().splitlines())
    return [{k: v for k, v in row.items() if v and not k.startswith("seconds")} for row in table]


def contents(run):
    """All that should be the same after an interruption, by name."""
    records = {file.name: json.loads(file.read_text()) for file in run.glob("rounds/*.json")}
    for record in records.values():
        del record["seconds"], record["digest"]
    weights = torch.load(run / "checkpoints" / "round-002.ckpt")["state_dict"]
    return {
        "files": sorted(str(file.relative_to(run)) for file in run.rglob("*")),  # nothing half written among them
        "ledger": (run / "ledger.csv").read_bytes(),
        "curve": rows(run / "curve.csv"),
        "records": records,
        "weights": {name: (tensor.dtype, tensor.numpy().tobytes()) for name, tensor in weights.items()},
        "metrics": {str(file.relative_to(run)): rows(file) for file in run.glob("fits/*/metrics.csv")},
    }


@pytest.mark.parametrize("name", KILLS)
def test_a_kill_at_this_instant_changes_nothing(name, serve, whole, faults_table, tmp_path):
    for point in KILLS[name]:
        spec = point if isinstance(point, dict) else {"point": point}
        assert serve(COMMAND, tmp_path, {**spec, "note": str(tmp_path / "note")}) == -9, (tmp_path / "log").read_text()
    assert serve(COMMAND, tmp_path) == 0, (tmp_path / "log").read_text()
    left = contents(tmp_path / "run")
    changed = [what for what in whole if left[what] != whole[what]]
    faults_table(
        "SIGKILL at chosen instants",
        {"instant": name, "kills": len(KILLS[name]), "changed": ", ".join(changed) or "nothing"},
    )
    assert changed == []
