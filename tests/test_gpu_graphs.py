"""Captured steps on a GPU; left out where there is none. On a CPU tests/loop/test_graphs.py has a stand-in."""

import json
import subprocess
import sys
from functools import partial

import pytest
import torch
from lightning.pytorch import Trainer
from torch import nn
from torch.optim.lr_scheduler import StepLR

from msal_lightning import ActiveLoop, LoopOptions, MSALClassifier, RunDirectory
from msal_lightning.data import CropFlip
from msal_lightning.datasets import Digits
from msal_lightning.models.backbones import SmallCNN
from msal_lightning.strategies import Random
from msal_lightning.training.captured_step import captured
from msal_lightning.training.cuda_graphs import CudaGraphs
from msal_lightning.training.graph_options import GraphOptions
from msal_lightning.training.step_callback import StepCallback

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")


class KilledError(Exception):
    """Stands for a kill."""


class Watch(StepCallback):
    """Keeps the loss of each step, and may end the run in an epoch of round 0."""

    def __init__(self, end_at=None):
        self.losses, self.end_at = [], end_at

    def state_dict(self):
        return {}  # so that a fit with it is saved

    def on_step_end(self, trainer, loss, step):
        self.losses.append(loss)
        if (trainer.datamodule.round, trainer.current_epoch) == (0, self.end_at):
            raise KilledError


def loop(path, watch, precision="32-true", backbone=SmallCNN, **model):
    return ActiveLoop(
        lambda: MSALClassifier(10, 1, lambda channels: backbone(channels, width=8), **model),
        lambda callbacks, **settings: Trainer(
            max_epochs=3, accelerator="gpu", devices=1, precision=precision, callbacks=[watch, *callbacks], **settings
        ),
        Digits(batch_size=32, augmentation=CropFlip(padding=1)),
        Random(),
        RunDirectory(path),
        LoopOptions(initial_size=200, query_size=40, query_budget=80, checkpoint_seconds=0),
    )


def losses_of(run, watch):
    assert len(run.run()) == 3
    return torch.stack(watch.losses).cpu()


@pytest.mark.parametrize(
    ("precision", "model"),
    [
        ("32-true", {}),
        ("bf16-mixed", {}),
        ("32-true", {"optimizer": partial(torch.optim.Adam, lr=1e-3, fused=True)}),
        ("32-true", {"lr_scheduler": partial(StepLR, step_size=1, gamma=0.1)}),
        ("32-true", {"optimizer": partial(torch.optim.SGD, lr=0.05, momentum=0.9)}),
        ("32-true", {"optimizer": partial(torch.optim.AdamW, lr=1e-3), "head": "linear"}),
    ],
)
def test_replays_train_as_plain_steps(tmp_path, capsys, precision, model):
    found = {}
    for graphs in (False, True):
        watch = Watch()
        run = loop(tmp_path / str(graphs), watch, precision, **model)
        if not graphs:
            run.fitter.graphs = False
        found[graphs] = losses_of(run, watch)
        assert run.fitter.graphs is graphs
    assert "(optimizer steps are replays of a CUDA graph)" in " ".join(capsys.readouterr().out.split())
    tolerance = 0.05 if precision == "bf16-mixed" else 0.01
    torch.testing.assert_close(found[True], found[False], rtol=tolerance, atol=tolerance)


def test_a_resumed_fit_equals_an_uninterrupted_one(tmp_path):
    whole, rest = Watch(), Watch()
    expected = losses_of(loop(tmp_path / "whole", whole), whole)
    with pytest.raises(KilledError):
        loop(tmp_path / "run", Watch(end_at=2)).run()
    found = losses_of(loop(tmp_path / "run", rest), rest)
    torch.testing.assert_close(found, expected[14:], rtol=1e-3, atol=1e-3)  # seven steps in each epoch


def test_memory_is_returned_after_each_round(tmp_path):
    watch, sizes = Watch(), []
    run = loop(tmp_path / "run", watch)
    fit = run.fitter.fit

    def fit_and_look(*args):
        fitted = fit(*args)
        watch.losses.clear()
        sizes.append((torch.cuda.memory_allocated(), torch.cuda.memory_reserved()))
        return fitted

    run.fitter.fit = fit_and_look
    assert len(run.run()) == 3
    assert run.fitter.graphs
    for allocated, reserved in sizes[1:]:
        assert allocated <= sizes[0][0] + 1e6
        assert reserved <= sizes[0][1] + 32e6


def accuracies(path):
    return [record.accuracy for record in loop(path, Watch()).run()]


def test_two_runs_side_by_side(tmp_path):
    code = "import runpy, sys; print(runpy.run_path(sys.argv[1])['accuracies'](sys.argv[2]))"
    commands = [[sys.executable, "-c", code, __file__, tmp_path / name] for name in ("one", "two")]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    alone = accuracies(tmp_path / "alone")
    for process in both:
        found = json.loads(process.communicate()[0].splitlines()[-1])
        torch.testing.assert_close(torch.tensor(found), torch.tensor(alone), rtol=0, atol=0.05)


class Waits(SmallCNN):
    """Reads a value on the host in each step."""

    def forward(self, x):
        return super().forward(x) * (1 if x.sum().item() < 1e9 else 2)


def test_a_model_that_waits_for_the_gpu_is_trained_step_by_step(tmp_path, capsys):
    watch = Watch()
    losses_of(loop(tmp_path / "run", watch, backbone=Waits), watch)
    assert "slower, because" in " ".join(capsys.readouterr().out.split())


# ---------------------------------------------------------------- one step


def training(optimizer):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1)).cuda()
    optimizer = optimizer(model.parameters())
    options = GraphOptions(optimizer, torch.device("cuda", 0))
    options.refresh()

    def step(inputs):
        def closure():
            optimizer.zero_grad()
            loss = model(inputs[0]).square().mean()
            loss.backward()
            return loss.detach()

        with options():
            return optimizer.step(closure)

    step.refresh = options.refresh
    graphs = CudaGraphs(torch.device("cuda", 0))
    with graphs.aside():
        step((torch.randn(64, 3, device="cuda"),))
    return model, optimizer, step, graphs


def state(model, optimizer):
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    states = [{key: torch.as_tensor(v).clone() for key, v in each.items()} for each in optimizer.state.values()]
    return weights, states, torch.cuda.get_rng_state(), torch.get_rng_state()


OPTIMIZERS = [
    partial(torch.optim.Adam, lr=0.01, fused=True),
    partial(torch.optim.Adam, lr=0.01),
    partial(torch.optim.AdamW, lr=0.01, amsgrad=True),
    partial(torch.optim.SGD, lr=0.01, momentum=0.9, dampening=0.1),
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_capture_leaves_everything_as_it_was(optimizer):
    model, optimizer, step, graphs = training(optimizer)
    inputs = (torch.randn(64, 3, device="cuda"),)
    before = state(model, optimizer)
    captured(step, [inputs], model, optimizer, "32-true", graphs)
    torch.testing.assert_close(state(model, optimizer), before, rtol=0, atol=0)


def test_each_replay_has_its_own_inputs_and_dropout_mask():
    model, optimizer, step, graphs = training(partial(torch.optim.SGD, lr=0.0))
    one, other = ((torch.randn(64, 3, device="cuda"),) for _ in range(2))
    replay = captured(step, [one, other], model, optimizer, "32-true", graphs)
    torch.cuda.manual_seed(5)
    first, second, third = float(replay(one)), float(replay(one)), float(replay(other))
    assert len({first, second, third}) == 3
    torch.cuda.manual_seed(5)
    plain = [float(step(inputs)) for inputs in (one, one, other)]
    assert plain == pytest.approx([first, second, third], rel=1e-5)
    torch.cuda.manual_seed(5)
    assert float(replay(one)) == first


def test_another_learning_rate_reaches_an_existing_graph():
    model, optimizer, step, graphs = training(partial(torch.optim.SGD, lr=0.1))
    inputs = (torch.randn(64, 3, device="cuda"),)
    replay = captured(step, [inputs], model, optimizer, "32-true", graphs)
    before = model[0].weight.clone()
    for rate, moves in ((0.0, False), (0.1, True)):
        optimizer.param_groups[0]["lr"] = rate
        step.refresh()
        replay(inputs)
        assert torch.equal(model[0].weight, before) is not moves
