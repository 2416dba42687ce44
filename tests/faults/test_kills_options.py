"""SIGKILL at six instants, whatever option of the Trainer or callback a run has."""

import json

import pytest

pytestmark = pytest.mark.faults

COMMAND = [
    "fit", "--config", "digits", "--run_dir", "run", "--loop.query_budget", "40", "--loop.checkpoint_seconds", "0",
    "--trainer.max_epochs", "3", "--trainer.accelerator", "cpu", "--model.backbone.width", "4",
    "--data.batch_size", "16", "--query", "Entropy",
]  # fmt: skip
OWN = '''
import torch
from lightning.pytorch import Callback

class Decay(Callback):
    """Shrinks the weights more in each epoch, and at the end of the fit."""
    def __init__(self):
        self.epochs = 0
    def on_train_epoch_start(self, trainer, module):
        self.epochs += 1
        self.shrink(module, 0.01 * self.epochs)
    def on_train_end(self, trainer, module):
        self.shrink(module, 0.1)
    on_fit_end = on_train_end
    @torch.no_grad()
    def shrink(self, module, share):
        for parameter in module.parameters():
            parameter.mul_(1 - share)

class DecayWithState(Decay):
    def state_dict(self):
        return {"epochs": self.epochs}
    def load_state_dict(self, state):
        self.epochs = state["epochs"]
'''


def callbacks(*classes):
    """``(name, options)`` of Lightning's or one's own."""
    full = [
        {"class_path": name if "." in name else f"lightning.pytorch.callbacks.{name}", "init_args": options}
        for name, options in classes
    ]
    return ["--trainer.callbacks", json.dumps(full)]


def schedule(name, **options):
    path = f"torch.optim.lr_scheduler.{name}"
    return [
        "--model.lr_scheduler", path, *(w for k, v in options.items() for w in (f"--model.lr_scheduler.{k}", str(v)))
    ]  # fmt: skip


STOP = ("EarlyStopping", {"monitor": "train_loss", "mode": "max", "patience": 0})
OPTIONS = {
    "max_steps": ["--trainer.max_steps", "8"],
    "max_steps, within an epoch": ["--trainer.max_steps", "7"],
    "min_epochs": [*callbacks(STOP), "--trainer.min_epochs", "3", "--trainer.max_epochs", "4"],
    "min_steps": [*callbacks(STOP), "--trainer.min_steps", "8", "--trainer.max_epochs", "4"],
    "EarlyStopping": [*callbacks((STOP[0], STOP[1] | {"patience": 2})), "--trainer.max_epochs", "5"],
    "EMAWeightAveraging": callbacks(("EMAWeightAveraging", {"decay": 0.8})),
    "EMAWeightAveraging, from an epoch": callbacks(
        ("EMAWeightAveraging", {"decay": 0.8, "update_every_n_steps": 0, "update_starting_at_epoch": 1})
    ),
    "WeightAveraging": callbacks(("WeightAveraging", {})),
    "StochasticWeightAveraging": callbacks(
        ("StochasticWeightAveraging", {"swa_lrs": 0.01, "swa_epoch_start": 2, "annealing_epochs": 1})
    ),
    "BackboneFinetuning": callbacks(("BackboneFinetuning", {"unfreeze_backbone_at_epoch": 1})),
    "GradientAccumulationScheduler": callbacks(("GradientAccumulationScheduler", {"scheduling": {0: 1, 1: 2}})),
    "accumulate_grad_batches, clipping": [
        "--trainer.accumulate_grad_batches", "2", "--trainer.gradient_clip_val", "0.1"
    ],
    "limit_train_batches": ["--trainer.limit_train_batches", "0.7"],
    "LearningRateMonitor": callbacks(("LearningRateMonitor", {})),
    "OneCycleLR": schedule("OneCycleLR", max_lr=0.1, total_steps=4),
    "CosineAnnealingLR": schedule("CosineAnnealingLR", T_max=3),
    "ReduceLROnPlateau": schedule("ReduceLROnPlateau", mode="max", patience=0),
    "callback with a state_dict": callbacks(("own.DecayWithState", {})),
    "callback without": callbacks(("own.Decay", {})),
}  # fmt: skip


INSTANTS = {
    "mid-epoch": {"phase": "mid-epoch", "event": 100},
    "epoch end": {"point": "epoch end#2"},
    "fit end": {"point": "fit ended"},
    "after it": {"point": "after fit"},
    "test": {"phase": "test", "event": 30},
    "pool pass": {"phase": "pool pass", "event": 60},
}


@pytest.mark.parametrize("option", OPTIONS)
def test_kills(option, serve, differences, faults_table, tmp_path):
    command, kills, changed = [*COMMAND, *OPTIONS[option]], 0, {}
    for name in ("whole", *INSTANTS):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "own.py").write_text(OWN)
        if name != "whole":
            code = serve(command, folder, {**INSTANTS[name], "note": str(folder / "note")})
            assert code in (-9, 0), (folder / "log").read_text()
            kills += code == -9
        assert serve(command, folder) == 0, (folder / "log").read_text()
        different = differences(folder / "run", tmp_path / "whole" / "run") if name != "whole" else []
        if different:
            changed[name] = different
    said = "; ".join(f"{name}: {', '.join(what)}" for name, what in changed.items())
    faults_table("SIGKILL, options of the Trainer", {"option": option, "kills": kills, "changed": said or "nothing"})
    assert kills >= 4
    assert not changed
