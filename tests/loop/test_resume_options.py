"""A fit that is interrupted at six places gives what it would have given, whatever option of the Trainer is set."""

import importlib.util
import itertools
from functools import partial
from pathlib import Path

import lightning.pytorch.callbacks
import pytest
import torch
from lightning.pytorch import Trainer

from msal_lightning import ActiveLoop, LoopOptions, MSALClassifier, RunDirectory
from msal_lightning.datasets import Digits
from msal_lightning.models.backbones import SmallCNN
from msal_lightning.strategies import Entropy
from msal_lightning.training.step_callback import StepCallback


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


_file = Path(__file__).parents[1] / "training" / "trainer_options.py"
_spec = importlib.util.spec_from_file_location("trainer_options", _file)
trainer_options = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(trainer_options)
OPTIONS = {**trainer_options.OPTIONS, "extra state of the model": {"model": ExtraState}}


class KilledError(Exception):
    pass


class Dies(StepCallback):
    """Ends round 0 at one place."""

    def __init__(self, place):
        self.place = place

    def _reach(self, place, trainer):
        if place == self.place and trainer.datamodule.round == 0:
            raise KilledError

    def on_step_end(self, trainer, loss, step):
        if (trainer.current_epoch, step) == (1, 1):
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


TOGETHER = {
    "state of a callback, of the model, of averaged weights and of a schedule": {
        "callbacks": {**OPTIONS["EMAWeightAveraging"]["callbacks"], "DecayWithState": {}},
        "lr_scheduler": OPTIONS["ReduceLROnPlateau"]["lr_scheduler"],
        "model": ExtraState,
    },
    "min_epochs, StochasticWeightAveraging, callback without": {
        "callbacks": {
            **OPTIONS["StochasticWeightAveraging"]["callbacks"], **OPTIONS["min_epochs"]["callbacks"], "Decay": {}
        },
        "trainer": OPTIONS["min_epochs"]["trainer"],
    },
    "max_steps, within an epoch": OPTIONS["max_steps, within an epoch"],
}  # fmt: skip


def find_callback(name):
    return getattr(trainer_options, name, None) or getattr(lightning.pytorch.callbacks, name)


@pytest.fixture
def run(tmp_path):
    """``run(name, options, place)``: two rounds of three epochs."""

    def run(name, options, place=None):
        model, trainer = options.get("model", MSALClassifier), {"max_epochs": 3} | options.get("trainer", {})
        own = {find_callback(name): words for name, words in options.get("callbacks", {}).items()}
        of_model = {}
        if "lr_scheduler" in options:
            schedule, words = options["lr_scheduler"]
            of_model["lr_scheduler"] = partial(getattr(torch.optim.lr_scheduler, schedule), **words)
        return ActiveLoop(
            lambda: model(10, 1, lambda channels: SmallCNN(channels, width=4), **of_model),
            lambda callbacks, **settings: Trainer(
                accelerator="cpu",
                callbacks=[Dies(place), *(cls(**words) for cls, words in own.items()), *callbacks],
                **trainer,
                **settings,
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
    "options",
    [
        *(pytest.param(options, id=name) for name, options in TOGETHER.items()),
        *(pytest.param(options, id=f"{name} alone", marks=pytest.mark.slow) for name, options in OPTIONS.items()),
    ],
)
def test_an_interruption_changes_nothing(run, tmp_path, options, capsys):
    run("whole", options)
    deaths = 0
    for place in PLACES:
        try:
            run("broken", options, place)
        except KilledError:
            deaths += 1
    assert deaths >= 4
    run("broken", options)
    assert "damaged" not in capsys.readouterr().out
    a, b = left(tmp_path / "broken"), left(tmp_path / "whole")
    assert [what for what in a if a[what] != b[what]] == []
