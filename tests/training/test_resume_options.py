"""A fit that is interrupted at six places gives what it would have given, whatever option of the Trainer is set."""

import itertools
from functools import partial
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import (
    BackboneFinetuning,
    EarlyStopping,
    EMAWeightAveraging,
    GradientAccumulationScheduler,
    LearningRateMonitor,
    StochasticWeightAveraging,
    Timer,
    WeightAveraging,
)
from torch.optim import SGD, AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR, ReduceLROnPlateau

from msal_lightning import ActiveLoop, LoopOptions, MSALClassifier, RunDirectory
from msal_lightning.datasets import Digits
from msal_lightning.models.backbones import SmallCNN
from msal_lightning.strategies import Entropy


class KilledError(Exception):
    pass


class Dies(Callback):
    """Ends round 0 at one place."""

    def __init__(self, place):
        self.place = place

    def _reach(self, place, trainer):
        if place == self.place and trainer.datamodule.round == 0:
            raise KilledError

    def on_train_batch_end(self, trainer, *args):
        if (trainer.current_epoch, trainer.fit_loop.batch_idx) == (1, 1):
            self._reach("mid-epoch", trainer)

    def on_train_epoch_end(self, trainer, *args):
        self._reach(f"end of epoch {trainer.current_epoch}", trainer)

    def on_train_end(self, trainer, *args):
        self._reach("end of the fit", trainer)

    def on_test_batch_end(self, trainer, *args):
        self._reach("test", trainer)

    def on_predict_batch_end(self, trainer, *args):
        self._reach("pool pass", trainer)


PLACES = ("mid-epoch", "end of epoch 1", "end of epoch 2", "end of the fit", "test", "pool pass")


class Decay(Callback):
    """Shrinks the weights more in each epoch, at the end of the fit, and after it."""

    def __init__(self):
        self.epochs = 0

    def on_train_epoch_start(self, trainer, module):
        self.epochs += 1
        self._shrink(module, 0.01 * self.epochs)

    def on_train_end(self, trainer, module):
        self._shrink(module, 0.1)

    def on_fit_end(self, trainer, module):
        self._shrink(module, 0.1)

    @torch.no_grad()
    def _shrink(self, module, share):
        for parameter in module.parameters():
            parameter.mul_(1 - share)


class DecayWithState(Decay):
    def state_dict(self):
        return {"epochs": self.epochs}

    def load_state_dict(self, state):
        self.epochs = state["epochs"]


class ExtraState(MSALClassifier):
    """Its loss depends on a count that is no tensor."""

    steps = 0

    def training_step(self, batch, batch_idx):
        self.steps += 1
        return super().training_step(batch, batch_idx) / self.steps

    def get_extra_state(self):
        return {"steps": self.steps}

    def set_extra_state(self, state):
        self.steps = state["steps"]


OPTIONS = {
    "max_steps": {"max_steps": 8},
    "max_steps, within an epoch": {"max_steps": 7},
    "EarlyStopping": {"callbacks": [partial(EarlyStopping, "train_loss", mode="max", patience=2)], "max_epochs": 5},
    "min_epochs": {
        "callbacks": [partial(EarlyStopping, "train_loss", mode="max", patience=0)], "min_epochs": 4, "max_epochs": 5
    },
    "min_steps": {
        "callbacks": [partial(EarlyStopping, "train_loss", mode="max", patience=0)], "min_steps": 10, "max_epochs": 5
    },
    "EMAWeightAveraging": {"callbacks": [partial(EMAWeightAveraging, decay=0.8)]},
    "EMAWeightAveraging, from an epoch": {
        "callbacks": [partial(EMAWeightAveraging, decay=0.8, update_every_n_steps=0, update_starting_at_epoch=1)]
    },
    "WeightAveraging": {"callbacks": [WeightAveraging]},
    "StochasticWeightAveraging": {
        "callbacks": [partial(StochasticWeightAveraging, 0.01, swa_epoch_start=2, annealing_epochs=1)]
    },
    "BackboneFinetuning": {"callbacks": [partial(BackboneFinetuning, unfreeze_backbone_at_epoch=1, verbose=False)]},
    "GradientAccumulationScheduler": {"callbacks": [lambda: GradientAccumulationScheduler({0: 1, 1: 2})]},
    "accumulate_grad_batches, clipping": {"accumulate_grad_batches": 2, "gradient_clip_val": 0.1},
    "limit_train_batches": {"limit_train_batches": 0.7},
    "LearningRateMonitor, Timer": {"callbacks": [LearningRateMonitor, Timer]},
    "OneCycleLR": {"lr_scheduler": partial(OneCycleLR, max_lr=0.1, total_steps=4), "optimizer": partial(SGD, lr=0.1)},
    "CosineAnnealingLR": {"lr_scheduler": partial(CosineAnnealingLR, T_max=3), "optimizer": partial(AdamW, lr=0.01)},
    "ReduceLROnPlateau": {"lr_scheduler": partial(ReduceLROnPlateau, mode="max", patience=0)},
    "callback with a state_dict": {"callbacks": [DecayWithState]},
    "callback without": {"callbacks": [Decay]},
    "extra state of the model": {"model": ExtraState},
}  # fmt: skip


QUICK = {
    "max_steps, within an epoch", "min_epochs", "EMAWeightAveraging", "StochasticWeightAveraging", "ReduceLROnPlateau",
    "callback with a state_dict", "callback without", "extra state of the model",
}  # fmt: skip


@pytest.fixture
def run(tmp_path):
    """``run(name, options, place)``: two rounds of three epochs."""

    def run(name, options, place=None):
        options = {"max_epochs": 3} | options
        model = options.pop("model", MSALClassifier)
        of_model = {key: options.pop(key) for key in ("optimizer", "lr_scheduler") if key in options}
        own = options.pop("callbacks", [])
        return ActiveLoop(
            lambda: model(10, 1, lambda channels: SmallCNN(channels, width=4), **of_model),
            lambda callbacks, **settings: Trainer(
                accelerator="cpu", callbacks=[Dies(place), *(make() for make in own), *callbacks], **options, **settings
            ),
            Digits(batch_size=16),
            Entropy(),
            RunDirectory(tmp_path / name),
            LoopOptions(initial_size=40, query_size=40, query_budget=40, checkpoint_seconds=0),
        ).run()

    return run


def left(folder):
    curve = [line.split(",") for line in (folder / "curve.csv").read_text().splitlines()]
    timeless = [k for k, name in enumerate(curve[0]) if not name.startswith("seconds")]
    weights = torch.load(folder / "checkpoints" / "round-001.ckpt")["state_dict"]
    return {
        "ledger": (folder / "ledger.csv").read_text(),
        "curve": [[row[k] for k in timeless] for row in curve],
        "weights": {name: v.numpy().tobytes() if isinstance(v, torch.Tensor) else v for name, v in weights.items()},
    }


def test_the_document_lists_what_is_tried_here():
    lines = (Path(__file__).parents[2] / "docs" / "interruptions.md").read_text().splitlines()
    start = lines.index("| option or callback | after a kill |")
    table = itertools.takewhile(lambda line: line.startswith("|"), lines[start + 2 :])
    listed = {cells[1].strip(): cells[2].strip() for line in table if (cells := line.split("|"))}
    tried = {name for name, said in listed.items() if not said.startswith("refused")}
    assert tried == {name.replace(", Timer", "") for name in OPTIONS}


@pytest.mark.filterwarnings("ignore:The provided params to be frozen")  # BackboneFinetuning, of BatchNorm's
@pytest.mark.parametrize(
    "option", [option if option in QUICK else pytest.param(option, marks=pytest.mark.slow) for option in OPTIONS]
)
def test_an_interruption_changes_nothing(run, tmp_path, option, capsys):
    run("whole", OPTIONS[option])
    deaths = 0
    for place in PLACES:
        try:
            run("broken", OPTIONS[option], place)
        except KilledError:
            deaths += 1
    assert deaths >= 4
    run("broken", OPTIONS[option])
    assert "damaged" not in capsys.readouterr().out
    a, b = left(tmp_path / "broken"), left(tmp_path / "whole")
    assert [what for what in a if a[what] != b[what]] == []
