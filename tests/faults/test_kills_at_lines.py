"""SIGKILL at the lines where a kill could hurt most; random instants seldom meet them."""

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


def at(function, text, hit=1, under=None):
    return {"function": function, "text": text, "hit": hit, "under": under}


EPOCH_END = "FitCheckpoint.on_train_epoch_end"
SAVE_FIT = "FitCheckpoint._save"
SAVE = "AtomicCheckpointIO.save_checkpoint"
# one kill, or several one after the other
KILLS = {
    "before the mark is there": [at("atomic_file", "part.replace", 1, "RunDirectory.open")],
    "before config.yaml is there": [at("atomic_file", "part.replace", 2, "RunDirectory.open")],
    "after config.yaml": [at("RunDirectory.open", "mkdir(exist_ok=True)")],
    "after the initial set is drawn": [at("ActiveLoop._fit", "saved =")],
    "before a fit is written": [at(SAVE, "torch.save", 2)],
    "while a fit is written": [at("_save", "zip_file.write_record", 40)],  # torch's own function
    "between part and replace of a fit": [at("atomic_file", "part.replace", 2, SAVE)],
    "at the end of an epoch, before it is logged": [at(EPOCH_END, "self._between, self._epochs =", 2)],
    "at the end of the last epoch": [at(EPOCH_END, "self._between, self._epochs =", 4)],
    "after a fit is saved between two epochs": [at(SAVE_FIT, "self._saved =", 2)],
    "between the end of a fit and its save": [at("FitCheckpoint.save_ended", "self._save(")],
    "after the end of a fit is saved": [at(SAVE_FIT, "self._saved =", 4)],
    "three times in the same epochs": [at(SAVE_FIT, "trainer.save_checkpoint", 2)] * 3,
    "again before the resumed fit logs an epoch": [
        at(SAVE_FIT, "self._saved =", 3),
        at("MSALClassifier.training_step", "return loss"),
    ],
    "before the labels are bought": [at("Query.buy", "data.label(")],
    "after they are bought": [at("Query.buy", "self.set_pseudo_labels(", 2)],
    "between part and replace of a model": [at("atomic_file", "part.replace", 1, "RunDirectory.save_model")],
    "after the model is saved": [at("ActiveLoop._round", "bought =", 2)],
    "while a record is written": [at("atomic_file", "os.fsync(file", 1, "RunDirectory.commit")],
    "between part and replace of a record": [at("atomic_file", "part.replace", 1, "RunDirectory.commit")],
    "after the record": [at("RunDirectory.commit", "derive_tables", 2)],
    "between curve and ledger": [at("atomic_file", "part.replace", 2, "RunDirectory.derive_tables")],
    "between them in the last round": [at("atomic_file", "part.replace", 5, "RunDirectory.derive_tables")],
    "before the first checkpoint is dropped": [at("RunDirectory.drop_checkpoints", "file.unlink")],
    "before the last checkpoints are dropped": [at("RunDirectory.commit", "drop_checkpoints", 3)],
    "before a round is logged": [at("ActiveLoop._commit", "log_round", 2)],
    "before the end is told": [at("ActiveLoop.run", "tracker.finish")],
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
def test_a_kill_at_this_line_changes_nothing(name, serve, whole, faults_table, tmp_path):
    for target in KILLS[name]:
        assert serve(COMMAND, tmp_path, {**target, "note": str(tmp_path / "note")}) == -9, (
            tmp_path / "log"
        ).read_text()
    assert serve(COMMAND, tmp_path) == 0, (tmp_path / "log").read_text()
    left = contents(tmp_path / "run")
    changed = [what for what in whole if left[what] != whole[what]]
    faults_table(
        "SIGKILL at chosen lines",
        {"instant": name, "kills": len(KILLS[name]), "changed": ", ".join(changed) or "nothing"},
    )
    assert changed == []
