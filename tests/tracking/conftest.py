"""Fixtures for trackers: a W&B server, and a logger and a callback that fail when a test says so."""

import importlib
import importlib.util
from pathlib import Path

import pytest

HELPERS = '''
"""What a user's own module may hold."""

from lightning.pytorch import Callback
from lightning.pytorch.loggers import Logger

from msal_lightning.errors import UserError


class Recorder(Logger):
    """Keeps what is reported to it; ``fails`` names hooks that raise once they were called so many times."""

    reported, hooks, fails = [], [], {}

    def __init__(self, version=None):
        super().__init__()
        self._version = version or "v1"

    name = property(lambda self: "recorder")
    version = property(lambda self: self._version)
    experiment = property(lambda self: self)

    def _call(self, hook):
        self.hooks.append(hook)
        if self.hooks.count(hook) > self.fails.get(hook, 1_000_000):
            raise OSError(28, "No space left on device")

    def log_metrics(self, metrics, step=None):
        self._call("log_metrics")
        self.reported.append((step, dict(metrics)))

    def log_hyperparams(self, params, *args, **kwargs):
        self._call("log_hyperparams")

    def save(self):
        self._call("save")

    def finalize(self, status):
        self._call("finalize")


class Interrupt(Callback):
    """Ends the command in the middle of an epoch, which is saved no more."""

    at = None

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if self.at == (trainer.datamodule.round, trainer.current_epoch) and batch_idx == 0:
            raise UserError("the machine went down")
'''


@pytest.fixture
def theirs(tmp_path, monkeypatch):
    """The module ``theirs`` of a user, with ``Recorder`` and ``Interrupt``."""
    (tmp_path / "theirs.py").write_text(HELPERS)
    monkeypatch.syspath_prepend(str(tmp_path))
    return importlib.import_module("theirs")


@pytest.fixture
def wandb_server(monkeypatch):
    """A W&B server on this machine, and the environment of its clients."""
    spec = importlib.util.spec_from_file_location("wandb_server", Path(__file__).parents[1] / "wandb_server.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    import wandb

    with module.wandb_server() as server:
        wandb.teardown()  # the settings of former tests
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        yield server
        wandb.teardown()
