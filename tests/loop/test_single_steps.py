"""Lightning runs an epoch as one batch: the results equal those of one batch for each step, bit by bit."""

import copy
from functools import partial

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import (
    EarlyStopping,
    GradientAccumulationScheduler,
    LambdaCallback,
    LearningRateMonitor,
)
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR

from msal_lightning import MSALClassifier
from msal_lightning.data import RotateFlip
from msal_lightning.datasets import Digits
from msal_lightning.loop.single_steps import why_single_steps
from msal_lightning.models.backbones import SmallCNN


class SeesSteps(Callback):
    """Changes nothing, but needs a batch of Lightning for each step."""

    def on_train_batch_end(self, *args):
        pass


def weights(folder, round=2):
    return torch.load(folder / "checkpoints" / f"round-{round:03d}.ckpt")["state_dict"]


def left(folder):
    """Everything that training decides: weights, selections, and the log of each fit with its steps."""
    state = {
        name: value.numpy().tobytes() for name, value in weights(folder).items() if isinstance(value, torch.Tensor)
    }
    logs = [file.read_text() for file in sorted(folder.glob("fits/*/metrics.csv"))]
    assert len(logs) == 3
    return state, (folder / "ledger.csv").read_text(), logs


TOGETHER = {
    "linear, bfloat16, early stopping": {
        "head": "linear",
        "precision": "bf16-mixed",
        "callbacks": [EarlyStopping("train_loss", mode="max", patience=1)],
    },
    "prototypes, schedule, freeze 2, keep, max_steps": {
        "model": partial(MSALClassifier, lr_scheduler=partial(StepLR, step_size=1, gamma=0.5), freeze=2),
        "data": {"augmentation": RotateFlip(20.0), "last_batch": "keep"},
        "trainer": {"max_steps": 7},
    },
}
SINGLE = {
    "prototypes": {},
    "linear": {"head": "linear"},
    "bfloat16": {"precision": "bf16-mixed"},
    "schedule": {"model": partial(MSALClassifier, lr_scheduler=partial(StepLR, step_size=1, gamma=0.5))},
    "no dropout": {"model": partial(MSALClassifier, dropout=0.0)},
    "keep": {"data": {"augmentation": RotateFlip(20.0), "last_batch": "keep"}},
    "max_steps": {"trainer": {"max_steps": 7}},
    "early stopping": {"callbacks": [EarlyStopping("train_loss", mode="max", patience=1)]},
    "freeze 2": {"model": partial(MSALClassifier, freeze=2)},
}


@pytest.mark.parametrize(
    "options",
    [
        *(pytest.param(options, id=name) for name, options in TOGETHER.items()),
        *(pytest.param(options, id=name, marks=pytest.mark.slow) for name, options in SINGLE.items()),
    ],
)
def test_equals_one_batch_for_each_step(make_loop, tmp_path, capsys, options):
    def loop(name, *callbacks):
        data = Digits(batch_size=16, **options.get("data", {}))
        callbacks = [*copy.deepcopy(options.get("callbacks", [])), *callbacks]
        return make_loop(name, **{**options, "data": data, "callbacks": callbacks})

    loop("single", SeesSteps()).run()
    assert "because the callback SeesSteps acts on it" in capsys.readouterr().out
    loop("whole").run()
    assert "because" not in capsys.readouterr().out
    assert left(tmp_path / "whole") == left(tmp_path / "single")


def test_a_fit_that_was_saved_the_other_way_starts_again(make_loop, killed, tmp_path, capsys):
    make_loop("whole").run()
    killed(make_loop("broken", kill_at=(1, 3), callbacks=[SeesSteps()]))
    capsys.readouterr()
    make_loop("broken").run()
    said = " ".join(capsys.readouterr().out.split())
    assert "was saved in single steps, and this fit trains in whole epochs: the fit of round 1 starts again" in said
    assert left(tmp_path / "broken") == left(tmp_path / "whole")


HOOK = LambdaCallback(on_train_batch_end=lambda *args: None)  # its hook is no method of its class


class OwnTransfer(MSALClassifier):
    def on_before_batch_transfer(self, batch, dataloader_idx):
        return batch


class OwnStep(MSALClassifier):
    def training_step(self, batch, batch_idx):
        return super().training_step(batch, batch_idx)


class OwnData(Digits):
    def on_after_batch_transfer(self, batch, dataloader_idx):
        return super().on_after_batch_transfer(batch, dataloader_idx)


class FromDisk(Digits):
    def setup(self, stage=None):
        super().setup(stage)
        self.num_workers = 2


@pytest.mark.parametrize(
    ("why", "trainer", "model", "data"),
    [
        (None, {}, {}, Digits),
        ("2 processes share it", {"devices": 2, "strategy": "ddp"}, {}, Digits),
        ("trainer.precision is bf16-true", {"precision": "bf16-true"}, {}, Digits),
        ("trainer.accumulate_grad_batches is 2", {"accumulate_grad_batches": 2}, {}, Digits),
        ("trainer.gradient_clip_val is 0.1", {"gradient_clip_val": 0.1}, {}, Digits),
        ("trainer.limit_train_batches is 0.5", {"limit_train_batches": 0.5}, {}, Digits),
        ("trainer.limit_train_batches is 1", {"limit_train_batches": 1}, {}, Digits),  # one batch; 1.0 is all
        ("the callback LambdaCallback acts on it", {"callbacks": [HOOK]}, {}, Digits),
        ("trainer.limit_train_batches is 2", {"overfit_batches": 2}, {}, Digits),
        ("trainer.profiler measures it", {"profiler": "simple"}, {}, Digits),
        ("the callback LearningRateMonitor acts on it", {"callbacks": [LearningRateMonitor()]}, {}, Digits),
        (
            "the callback GradientAccumulationScheduler acts on it",
            {"callbacks": [GradientAccumulationScheduler({0: 1, 1: 2})]},
            {},
            Digits,
        ),
        ("the schedule of the learning rate monitors a metric", {}, {"lr_scheduler": ReduceLROnPlateau}, Digits),
        ("OwnData has its own on_after_batch_transfer", {}, {}, OwnData),
        ("images are decoded from disk", {}, {}, FromDisk),
    ],
)
def test_the_reason_is_named(make_trainer, why, trainer, model, data):
    data = data()
    data.setup()
    trainer = make_trainer(**({"callbacks": []} | trainer))
    model = MSALClassifier(10, 1, lambda channels: SmallCNN(channels, width=4), **model)
    assert why_single_steps(trainer, model, data) == why


@pytest.mark.parametrize(
    ("cls", "hook"), [(MSALClassifier, ""), (OwnStep, "training_step"), (OwnTransfer, "on_before_batch_transfer")]
)
def test_a_hook_of_ones_own_is_kept(make_trainer, cls, hook):
    data = Digits()
    data.setup()
    model = cls(10, 1, lambda channels: SmallCNN(channels, width=4))
    why = why_single_steps(make_trainer(), model, data)
    assert why == (f"{cls.__name__} has its own {hook}" if hook else None)
