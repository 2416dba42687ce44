"""No model is tested that took no optimizer step."""

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping, Timer

from msal_lightning import ActiveLoop, LoopOptions, MSALClassifier, RunDirectory
from msal_lightning.datasets import Digits
from msal_lightning.errors import UserError
from msal_lightning.models.backbones import SmallCNN
from msal_lightning.strategies import Random

BATCHES = 2  # an epoch of 40 images


class Stopped(Callback):
    """Ends a fit before its first step."""

    def on_fit_start(self, trainer, pl_module):
        trainer.should_stop = True


class Weights(Callback):
    """Keeps the weights before and after a fit."""

    def on_fit_start(self, trainer, pl_module):
        self.before = torch.cat([p.detach().flatten().clone() for p in pl_module.parameters()])

    def on_fit_end(self, trainer, pl_module):
        self.after = torch.cat([p.detach().flatten().clone() for p in pl_module.parameters()])
        self.steps = trainer.global_step


@pytest.fixture
def make_loop(tmp_path):
    """One round of 40 labels in two batches."""

    def make(*callbacks, **trainer):
        settings = {"max_epochs": 1} | trainer
        return ActiveLoop(
            lambda: MSALClassifier(10, 1, lambda channels: SmallCNN(channels, width=2)),
            lambda callbacks, **own: Trainer(**settings, **own, accelerator="cpu", callbacks=[*callbacks, *given]),
            Digits(batch_size=20),
            Random(),
            RunDirectory(tmp_path / "run"),
            LoopOptions(initial_size=40),
        )

    given = []

    def with_callbacks(*callbacks, **trainer):
        given[:] = callbacks
        return make(**trainer)

    return with_callbacks


@pytest.mark.parametrize(
    ("limits", "key"),
    [
        ({"max_steps": 0}, "max_steps 0"),
        ({"max_epochs": 0}, "max_epochs 0"),
        ({"max_epochs": 0, "max_steps": 10}, "max_epochs 0"),
        ({"max_epochs": None, "max_steps": 0}, "max_steps 0"),
        ({"limit_train_batches": 0}, "limit_train_batches 0"),
        ({"limit_train_batches": 0.0}, "limit_train_batches 0.0"),
        ({"limit_train_batches": 0.4}, "limit_train_batches 0.4 of 2 batches"),
    ],
)
def test_limits_without_a_step_are_found_before_the_run_starts(make_loop, tmp_path, limits, key):
    with pytest.raises(UserError, match=f"at least one optimizer step in each fit, got trainer.{key}, which"):
        make_loop(**limits)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("callbacks", [[], [Timer(None)], [Weights()]], ids=["none", "endless timer", "another"])
def test_a_fit_without_end_is_found_before_the_run_starts(make_loop, tmp_path, callbacks):
    with pytest.raises(UserError, match=r"end of each fit, got trainer.max_epochs -1 without another limit"):
        make_loop(*callbacks, max_epochs=-1)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("callbacks", "limits"),
    [
        ([], {"max_steps": 3}),
        ([EarlyStopping("train_loss")], {}),
    ],
    ids=["steps", "early stopping"],
)
def test_any_other_limit_is_an_end(make_loop, callbacks, limits):
    assert make_loop(*callbacks, max_epochs=-1, **limits).labels.label_counts == [40]


def test_what_ends_a_fit_before_its_first_step_ends_the_run(make_loop, tmp_path):
    loop = make_loop(Stopped())
    with pytest.raises(UserError, match=r"optimizer step in the fit of round 0, got none.*callbacks \(Stopped\)"):
        loop.run()
    assert not list((tmp_path / "run" / "rounds").iterdir())


@pytest.mark.parametrize(
    ("limits", "steps"),
    [
        ({"accumulate_grad_batches": 100}, 1),  # Lightning steps at the end of an epoch too
        ({"accumulate_grad_batches": 100, "max_epochs": 2}, 2),
        ({"limit_train_batches": 0.5}, 1),
        ({"max_epochs": 5, "max_steps": 1}, 1),
    ],
)
def test_one_step_is_enough_and_changes_the_weights(make_loop, limits, steps):
    weights = Weights()
    make_loop(weights, **limits).run()
    assert weights.steps == steps
    assert not torch.equal(weights.before, weights.after)


def test_steps_of_the_checkpoint_count(make_loop, monkeypatch, tmp_path):
    """A kill after the last epoch's checkpoint leaves nothing to train: the fit goes on with no step of its own."""

    class KilledError(Exception):
        pass

    def killed(*args, **kwargs):
        raise KilledError

    loop = make_loop(max_epochs=2)
    loop.checkpoint_seconds = 0
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "test", killed)
        with pytest.raises(KilledError):
            loop.run()
    weights = Weights()
    (record,) = make_loop(weights, max_epochs=2).run()
    assert weights.steps == 2 * BATCHES
    assert record.accuracy > 0
