"""The private parts of other libraries are there, and do what we use them for."""

import argparse
import signal

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import Logger
from lightning.pytorch.trainer.connectors.signal_connector import _HandlersCompose

from msal_lightning import compat

QUIET = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}


def test_all_options_of_a_parser():
    parser = argparse.ArgumentParser()
    parser.add_argument("--n")
    assert [action.dest for action in compat.parser_actions(parser)] == ["help", "n"]


def test_jsonargparse_has_what_we_replace():
    compat.drop_options_of_another_class()
    before = {"class_path": "A", "init_args": {"n": 1}}
    compat._drop_options(None, before, {"class_path": "A"})
    assert before["init_args"] == {"n": 1}
    compat._drop_options(None, before, {"class_path": "B"})
    assert "init_args" not in before


@pytest.mark.parametrize(("strategy", "anew"), [("ddp", False), ("ddp_spawn", True), ("ddp_fork", True)])
def test_launchers(strategy, anew):
    trainer = Trainer(accelerator="cpu", devices=2, strategy=strategy, **QUIET)
    assert compat.starts_processes_anew(trainer) == anew


@pytest.mark.parametrize(("strategy", "waits"), [("ddp", True), ("ddp_find_unused_parameters_true", False)])
def test_strategies_that_wait_for_all_gradients(strategy, waits):
    assert compat.waits_for_all_gradients(Trainer(accelerator="cpu", devices=2, strategy=strategy, **QUIET)) == waits
    assert not compat.waits_for_all_gradients(Trainer(accelerator="cpu", devices=1, **QUIET))


def test_fits_with_max_steps_resume_between_epochs():
    trainer = Trainer(accelerator="cpu", max_steps=3, **QUIET)
    assert trainer.fit_loop._iteration_based_training()
    compat.resume_between_epochs(trainer)
    assert not trainer.fit_loop._iteration_based_training()


def test_a_trainer_with_the_weights_of_a_fit_logs_as_that_fit_would():
    logged = []

    class Log(Logger):
        name, version = "log", 0

        def log_hyperparams(self, params):
            pass

        def log_metrics(self, metrics, step=None):
            logged.append((metrics, step))

    class Model(LightningModule):
        def test_step(self, batch, batch_idx):
            self.log("loss", 1.0, batch_size=1)

    trainer = Trainer(accelerator="cpu", **{**QUIET, "logger": Log()})
    compat.count_as_fitted(trainer, 4, 9)
    trainer.test(Model(), [0], verbose=False)
    assert logged == [({"loss": 1.0, "epoch": 4}, 9)]


def test_steps_within_one_batch_are_counted():
    class Model(LightningModule):
        automatic_optimization = False

        def train_dataloader(self):
            return [0, 1]

        def training_step(self, batch, batch_idx):
            compat.count_steps(self.trainer, 5)

        def configure_optimizers(self):
            return torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=0.1)

    trainer = Trainer(accelerator="cpu", max_epochs=9, max_steps=12, **QUIET)
    trainer.fit(Model())
    assert trainer.global_step == 15  # it ends with the batch that reaches max_steps
    assert trainer.fit_loop.epoch_loop._batches_that_stepped == 15


def test_a_requeue_handler_is_called_first():
    called = []
    both = compat.add_to_requeue_handler(
        _HandlersCompose([lambda *_: called.append("requeue")]), lambda *_: called.append("ours")
    )
    both(signal.SIGUSR1, None)
    assert called == ["requeue", "ours"]
    assert compat.add_to_requeue_handler(signal.SIG_DFL, print) is None


def test_the_cpu_says_whether_it_computes_in_bfloat16():
    with open("/proc/cpuinfo") as file:  # noqa: PTH123
        flags = file.read()
    if "flags" not in flags:
        pytest.skip("not a Linux machine of this kind")
    assert compat.cpu_computes_in_bfloat16() == ("avx512_bf16" in flags or "amx_tile" in flags)


def test_headers_of_the_label_studio_client():
    client = pytest.importorskip("label_studio_sdk").LabelStudio(base_url="http://127.0.0.1:9", api_key="abc")
    assert compat.label_studio_headers(client)["Authorization"] == "Token abc"


def test_installed_packages_are_scanned_once(monkeypatch):
    from lightning.fabric.utilities import registry

    scans = []
    monkeypatch.setattr(registry, "entry_points", lambda group: scans.append(group) or [])
    compat.scan_packages_once()
    compat.scan_packages_once()
    for _ in range(3):
        Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    assert len(scans) == len({*scans}) > 0
