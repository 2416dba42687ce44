"""Options that cannot work are found before anything is trained or labeled, and said in a sentence."""

import subprocess
import sys

import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer, callbacks
from torch import nn
from torch.optim import LBFGS, SGD, SparseAdam
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR, ReduceLROnPlateau

from msal_lightning import MSALClassifier
from msal_lightning.cli.main import main
from msal_lightning.config.errors import explain
from msal_lightning.errors import UserError
from msal_lightning.models.backbones import SmallCNN
from msal_lightning.models.dry_run import try_model
from msal_lightning.training.callback_rules import check_callbacks, check_trainer

RUN = ["fit", "--config", "digits", "--loop.query_budget", "0", "--trainer.max_epochs", "1", "--trainer.accelerator",
       "cpu", "--model.backbone.width", "2", "--run_dir", "run"]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--trainer.accumulate_grad_batches", "0"], "trainer.accumulate_grad_batches to be at least 1"),
        (["--trainer.gradient_clip_val", "-1"], "trainer.gradient_clip_val to be above 0"),
        (
            ["--trainer.min_epochs", "3"],
            "trainer.min_epochs to be at least 0 and at most trainer.max_epochs (1), got 3",
        ),
        (["--trainer.min_steps", "-3"], "trainer.min_steps to be at least 0"),
        (
            ["--model.optimizer", "SGD", "--model.optimizer.lr", "-1"],
            "model.optimizer or model.lr_scheduler cannot be made",
        ),
        (["--trainer.max_steps", "-5"], "`max_steps` must be a non-negative integer"),
        (["--trainer.limit_train_batches", "1.5"], "invalid value 1.5 for limit_train_batches"),
        (["--trainer.devices", "0"], "devices"),
        (["--trainer.strategy", "foo"], "strategy"),
        (["--trainer.max_time", "00:01:00:00"], "ends a fit by the clock"),
        (["--trainer.max_time", "tomorrow"], "leave it out, and set trainer.max_epochs or trainer.max_steps"),
        (["--trainer.num_nodes", "2"], "no NODE_RANK, MASTER_ADDR, MASTER_PORT in the environment"),
        (["--trainer.callbacks", "ModelCheckpoint"], "without ModelCheckpoint"),
        (["--trainer.callbacks", "RichProgressBar"], "the loop draws its own bars"),
        (["--model.optimizer", "LBFGS"], "model.optimizer LBFGS cannot train this model"),
        (["--model.lr_scheduler", "CosineAnnealingLR", "--model.lr_scheduler.T_max", "0"], "model.lr_scheduler Cosine"),
    ],
)
def test_a_command_with_such_an_option(options, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("NODE_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    assert main([*RUN, *options]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run" / "rounds" / "000.json").exists()


def test_a_timer_is_not_given_another_duration():
    with pytest.raises(MisconfigurationException) as error:
        callbacks.Timer("tomorrow")
    said = explain(str(error.value), ())
    assert "to be left out, got 'tomorrow': set trainer.max_epochs or trainer.max_steps" in said


@pytest.mark.parametrize(
    "refused",
    [
        callbacks.ModelCheckpoint(),
        callbacks.OnExceptionCheckpoint("x"),
        callbacks.TQDMProgressBar(),
        callbacks.LearningRateFinder(),
        callbacks.BatchSizeFinder(),
        callbacks.Timer("00:00:01:00"),
        callbacks.EarlyStopping("val_loss"),
        nn.ReLU(),
    ],
)
def test_callbacks_that_are_refused(refused):
    with pytest.raises(UserError, match=type(refused).__name__):
        check_callbacks([callbacks.Timer(), refused], validates=False)


def test_options_that_no_file_can_hold(tmp_path, monkeypatch, capsys):
    (tmp_path / "odd.py").write_text(
        "from lightning.pytorch import Callback\n"
        "class Odd(Callback):\n    def __init__(self, kind: object = object()):\n        pass\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert main([*RUN, "--trainer.callbacks", "odd.Odd"]) == 2
    expected = "expected trainer.callbacks.kind to have a value that config.yaml can hold, got <object object at"
    assert expected in capsys.readouterr().err
    assert main([*RUN, "--trainer.callbacks", "Timer"]) == 0  # its interval is text


def test_two_ways_to_accumulate(make_trainer):
    trainer: Trainer = make_trainer(
        accumulate_grad_batches=2, callbacks=[callbacks.GradientAccumulationScheduler({0: 2})]
    )
    with pytest.raises(UserError, match="got both"):
        check_trainer(trainer, validates=False)


class Pictures(nn.Module):
    out_features = 8

    def forward(self, images):
        return images


class Few(nn.Module):
    out_features = 8

    def forward(self, images):
        return images.flatten(1)[:, :7]


class Tuple(nn.Module):
    out_features = 8

    def forward(self, images):
        return images, images


class TooSmall(nn.Module):
    out_features = 1

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(1, 1, 9)

    def forward(self, images):
        return self.convolution(images).flatten(1)


@pytest.mark.parametrize(
    ("backbone", "said"),
    [
        (Pictures, r"shape \(2, 8\), images × out_features, got \(2, 1, 8, 8\)"),
        (Few, r"shape \(2, 8\), images × out_features, got \(2, 7\)"),
        (Tuple, "got tuple"),
        (TooSmall, r"TooSmall fails on images of 1×8×8 \(.*Kernel size"),
    ],
)
def test_a_backbone_that_does_not_fit(backbone, said):
    with pytest.raises(UserError, match=said):
        try_model(MSALClassifier(10, 1, lambda channels: backbone()), (1, 8, 8), 2)


def test_a_backbone_without_its_length():
    with pytest.raises(ValueError, match=r"model.backbone ReLU to have out_features"):
        MSALClassifier(10, 1, lambda channels: nn.ReLU())


def model(optimizer=lambda p: SGD(p, lr=0.1), scheduler=None):
    return MSALClassifier(10, 1, lambda channels: SmallCNN(channels, 2), optimizer=optimizer, lr_scheduler=scheduler)


@pytest.mark.parametrize("optimizer", [LBFGS, SparseAdam])
def test_an_optimizer_that_cannot_train_it(optimizer):
    with pytest.raises(UserError, match=f"model.optimizer {optimizer.__name__} cannot train"):
        try_model(model(optimizer), (1, 8, 8), 2)


@pytest.mark.parametrize(
    ("scheduler", "epochs", "said"),
    [
        (lambda o: OneCycleLR(o, 0.1, total_steps=4), 5, "Tried to step 5 times"),
        (lambda o: CosineAnnealingLR(o, T_max=0), 1, "zero"),
    ],
)
def test_a_schedule_that_ends_too_early(scheduler, epochs, said):
    with pytest.raises(UserError, match=f"model.lr_scheduler .*once in each of {epochs} epochs.*{said}"):
        try_model(model(scheduler=scheduler), (1, 8, 8), epochs)


def test_what_works_passes():
    try_model(model(scheduler=lambda o: OneCycleLR(o, 0.1, total_steps=4)), (1, 8, 8), 4)
    try_model(model(scheduler=lambda o: ReduceLROnPlateau(o)), (1, 8, 8), -1)


def test_it_draws_from_no_stream():
    model_, before = model(), torch.get_rng_state()
    try_model(model_.eval(), (1, 8, 8), 2)  # without dropout, which the caller isolates
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.slow
def test_a_callback_that_wants_a_logger_has_one_on_each_rank(tmp_path):
    command = [
        *RUN,
        "--trainer.devices",
        "2",
        "--trainer.strategy",
        "ddp",
        "--trainer.callbacks",
        "LearningRateMonitor",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "msal_lightning", *command], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "lr-Adam" in (tmp_path / "run" / "fits" / "000" / "metrics.csv").read_text()
