"""A small loop, and the instants at which it can be killed."""

import pytest
from lightning.pytorch import Trainer

from msal_lightning import ActiveLoop, LoopOptions, MSALClassifier, RunDirectory
from msal_lightning.data import CropFlip
from msal_lightning.datasets import Digits
from msal_lightning.models.backbones import SmallCNN
from msal_lightning.strategies import Entropy
from msal_lightning.training.step_callback import StepCallback


class KilledError(Exception):
    """Stands for a kill: nothing catches it."""


class KillAt(StepCallback):
    """Ends the loop in a phase of a round: in an epoch of its fit (a number), its test, or its pool pass."""

    def __init__(self, round, phase):
        self.at = round, phase

    def _reach(self, trainer, phase):
        if (trainer.datamodule.round, phase) == self.at:
            raise KilledError

    def on_step_end(self, trainer, *_):
        self._reach(trainer, trainer.current_epoch)

    def on_test_batch_end(self, trainer, *_):
        self._reach(trainer, "test")

    def on_predict_batch_end(self, trainer, *_):
        self._reach(trainer, "pool pass")


@pytest.fixture(scope="session")
def loop_in():
    """``loop_in(folder, strategy, kill_at=(round, phase))``: rounds of 40, 80 and 105 labels, with augmentation."""

    def make(
        folder, strategy=None, *, kill_at=None, data=None, model=None, head="prototype", epochs=5, callbacks=(),
        precision="32-true", trainer=None, oracle=None, **options,
    ):  # fmt: skip
        data = data or Digits(batch_size=16, augmentation=CropFlip(padding=1))
        model = model or (lambda *inputs: MSALClassifier(*inputs, head=head))
        own = [*callbacks, *([KillAt(*kill_at)] if kill_at else [])]
        sizes = {"initial_size": 40, "query_size": 40, "query_budget": 65, "checkpoint_seconds": 0}
        return ActiveLoop(
            lambda: model(data.num_classes, data.images.shape[1], lambda channels: SmallCNN(channels, width=4)),
            lambda callbacks, **settings: Trainer(
                max_epochs=epochs,
                accelerator="cpu",
                devices=1,
                precision=precision,
                callbacks=[*own, *callbacks],
                **settings | (trainer or {}),
            ),
            data,
            strategy or Entropy(),
            RunDirectory(folder),
            LoopOptions(**sizes | options),
            oracle,
        )

    return make


@pytest.fixture
def make_loop(loop_in, tmp_path):
    """``make_loop(name, ...)``: a loop in a folder of this test, see ``loop_in``."""
    return lambda name, *args, **options: loop_in(tmp_path / name, *args, **options)


@pytest.fixture(scope="session")
def killed():
    """``killed(loop)`` runs a loop that is killed."""

    def run(loop):
        with pytest.raises(KilledError):
            loop.run()

    return run
