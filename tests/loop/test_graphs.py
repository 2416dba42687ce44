"""Steps that are captured: on a CPU a stand-in takes the step again, and the results equal those of plain steps."""

import shutil
from functools import partial

import pytest
import torch
from lightning.pytorch import Callback
from torch.optim.lr_scheduler import OneCycleLR, StepLR

from msal_lightning import MSALClassifier
from msal_lightning.data import Augmentation, CropFlip, RotateFlip
from msal_lightning.datasets import Digits
from msal_lightning.errors import UserError
from msal_lightning.loop.graphs import NO_GPU, why_no_graphs
from msal_lightning.models.backbones import SmallCNN
from msal_lightning.training.captured_step import CapturedStep
from msal_lightning.training.graphed_steps import GraphedSteps
from msal_lightning.training.step_callback import StepCallback


@pytest.fixture
def graphed(make_loop, host_graphs):
    """``graphed(name, ...)``: a loop whose steps go through the path of the graphs."""

    def make(*args, **options):
        loop = make_loop(*args, **options)
        fitter, data, plain = loop.fitter, loop.data, loop.fitter.new_steps
        fitter.graphs = True

        def new_steps():
            if not fitter.graphs:
                return plain()
            return GraphedSteps(data.training_batch, data.resident_batches, fitter.train_without_graphs, host_graphs)

        fitter.new_steps = new_steps
        return loop

    return make


def left(folder, rounds=1):
    """Weights and log of each fit."""
    last = torch.load(folder / "checkpoints" / f"round-{rounds - 1:03d}.ckpt")["state_dict"]
    logs = [file.read_text() for file in sorted(folder.glob("fits/*/metrics.csv"))]
    assert len(logs) == rounds
    return {name: value.numpy().tobytes() for name, value in last.items() if isinstance(value, torch.Tensor)}, logs


class Unfreezes(Callback):
    """Trains the head alone in the first epochs, without dropout."""

    def on_train_epoch_start(self, trainer, pl_module):
        pl_module.backbone.requires_grad_(trainer.current_epoch > 1)
        pl_module.dropout.p = 0.2 * (trainer.current_epoch > 2)


sgd = partial(torch.optim.SGD, lr=0.05, momentum=0.9, dampening=0.1)


SCHEDULE = partial(StepLR, step_size=1, gamma=0.5)
CYCLES = partial(OneCycleLR, max_lr=0.1, total_steps=5)
LAYERS = {"freeze": 1, "backbone_lr": 0.01, "layer_decay": 0.5, "optimizer": sgd}
KEEP = {"augmentation": RotateFlip(20.0), "last_batch": "keep"}
TOGETHER = {
    "linear, bfloat16, max_steps": {
        "head": "linear", "precision": "bf16-mixed", "data": {"augmentation": None}, "trainer": {"max_steps": 7}
    },
    "keep, SGD with a schedule, rates of layers": {
        "model": partial(MSALClassifier, lr_scheduler=SCHEDULE, **LAYERS), "data": KEEP
    },
    "momentum cycles, unfreezes": {
        "model": partial(MSALClassifier, lr_scheduler=CYCLES), "callbacks": [Unfreezes()]
    },
}  # fmt: skip
SINGLE = {
    "prototypes": {},
    "linear, bfloat16": {"head": "linear", "precision": "bf16-mixed"},
    "keep": {"data": KEEP},
    "max_steps": {"data": {"augmentation": None}, "trainer": {"max_steps": 7}},
    "SGD with a schedule": {"model": partial(MSALClassifier, optimizer=sgd, lr_scheduler=SCHEDULE)},
    "momentum cycles": {"model": partial(MSALClassifier, lr_scheduler=CYCLES)},
    "unfreezes": {"callbacks": [Unfreezes()]},
    "freeze 2": {"model": partial(MSALClassifier, freeze=2)},
    "freeze all": {"model": partial(MSALClassifier, freeze="all", optimizer=sgd)},
    "rates of layers": {"model": partial(MSALClassifier, **LAYERS)},
}


@pytest.mark.parametrize(
    "options",
    [
        *(pytest.param(options, id=name) for name, options in TOGETHER.items()),
        *(pytest.param(options, id=name, marks=pytest.mark.slow) for name, options in SINGLE.items()),
    ],
)
def test_equals_plain_steps(make_loop, graphed, tmp_path, capsys, options):
    options = {"initial_size": 42, "query_budget": 0, "keep_checkpoints": "all"} | options
    data = {"batch_size": 16, "augmentation": CropFlip(padding=1)} | options.pop("data", {})
    for name, make in (("plain", make_loop), ("graphs", graphed)):
        make(name, data=Digits(**data), **options).run()
    assert left(tmp_path / "graphs") == left(tmp_path / "plain")
    assert "because" not in capsys.readouterr().out


TWO_ROUNDS = {"query_budget": 40, "keep_checkpoints": "all"}


def test_a_killed_run_goes_on_as_if_nothing_had_happened(make_loop, graphed, killed, tmp_path, capsys):
    make_loop("plain", **TWO_ROUNDS).run()
    killed(graphed("graphs", kill_at=(1, 3), **TWO_ROUNDS))
    shutil.copytree(tmp_path / "graphs", tmp_path / "continued without")
    graphed("graphs", **TWO_ROUNDS).run()
    assert left(tmp_path / "graphs", 2) == left(tmp_path / "plain", 2)
    assert (tmp_path / "graphs" / "ledger.csv").read_text() == (tmp_path / "plain" / "ledger.csv").read_text()

    capsys.readouterr()
    make_loop("continued without", **TWO_ROUNDS).run()
    assert "round 1 resumes after epoch 3" in capsys.readouterr().out


def test_one_capture_for_each_batch_size_of_a_fit(graphed, host_graphs):
    graphed("run", initial_size=42, query_budget=0, data=Digits(batch_size=16)).run()  # three batches of 14
    (graphs,) = host_graphs.made
    assert graphs.captures == 1
    graphed("two", initial_size=40, query_budget=0, data=Digits(batch_size=16)).run()  # 14, 13 and 13
    assert host_graphs.made[1].captures == 2
    graphed("frozen", query_budget=0, data=Digits(batch_size=10), model=partial(MSALClassifier, freeze=2)).run()
    assert host_graphs.made[2].captures == 2  # once more when the backbone is trained too
    assert all(graphs.released for graphs in host_graphs.made)


def test_a_loss_that_is_no_number_ends_the_fit_at_the_same_step(make_loop, graphed):
    model = partial(MSALClassifier, optimizer=partial(torch.optim.SGD, lr=1e18))
    messages = []
    for name, make in (("plain", make_loop), ("graphs", graphed)):
        with pytest.raises(UserError, match="the loss became NaN or infinite in epoch 0") as error:
            make(name, model=model).run()
        messages.append(str(error.value))
    assert messages[0] == messages[1]


class Stops(StepCallback):
    """A signal within an epoch."""

    def __init__(self):
        self.steps = []

    def on_step_end(self, trainer, loss, step):
        self.steps.append((trainer.current_epoch, step, float(loss)))


def test_callbacks_see_each_step_and_its_own_loss(make_loop, graphed):
    seen = []
    for name, make in (("plain", make_loop), ("graphs", graphed)):
        seen.append(Stops())
        make(name, initial_size=42, query_budget=0, callbacks=[seen[-1]]).run()
    assert seen[0].steps == seen[1].steps
    assert len({loss for *_, loss in seen[1].steps}) == 15


@pytest.fixture
def other_crops(monkeypatch):
    """Replays that repeat the inputs with which they were captured."""
    taken = CapturedStep.__call__
    monkeypatch.setattr(CapturedStep, "__call__", lambda self, inputs: taken(self, self._buffers))


def test_a_graph_that_does_something_else_is_not_used(make_loop, graphed, tmp_path, capsys, other_crops):
    make_loop("plain", **TWO_ROUNDS).run()
    capsys.readouterr()
    graphed("graphs", **TWO_ROUNDS).run()
    said = " ".join(capsys.readouterr().out.split())
    assert "(optimizer steps are not replays of a CUDA graph, which is slower, because a replay has the loss" in said
    assert said.count("replays of a CUDA graph") == 1  # later rounds don't try again
    assert left(tmp_path / "graphs", 2) == left(tmp_path / "plain", 2)


class Counts(SmallCNN):
    calls = 0

    def forward(self, x):
        self.calls += 1
        return super().forward(x)


def test_a_model_whose_steps_change_something_on_the_host(make_loop, graphed, tmp_path, capsys):
    def model(classes, channels, backbone):
        return MSALClassifier(classes, channels, lambda channels: Counts(channels, width=4))

    options = {"initial_size": 42, "query_budget": 0, "model": model}
    make_loop("plain", **options).run()
    graphed("graphs", **options).run()
    assert "because each step changes backbone.calls on the host" in " ".join(capsys.readouterr().out.split())
    assert left(tmp_path / "graphs") == left(tmp_path / "plain")


def test_images_that_are_not_on_the_device(make_loop, graphed, tmp_path, capsys):
    options = {"initial_size": 42, "query_budget": 0}
    make_loop("plain", **options).run()
    loop = graphed("graphs", **options)
    loop.data.resident_batches = lambda: None
    loop.run()
    assert "because the images are not on the GPU" in " ".join(capsys.readouterr().out.split())
    assert left(tmp_path / "graphs") == left(tmp_path / "plain")


class OwnLoss(MSALClassifier):
    def loss(self, batch):
        return super().loss(batch)


class AtOnce(Augmentation):
    def __call__(self, images, generator):
        return images + torch.rand(1, generator=generator).to(images.device)


@pytest.mark.parametrize(
    ("why", "cls", "optimizer", "augmentation", "compiled"),
    [
        (None, MSALClassifier, torch.optim.Adam, RotateFlip(), False),
        ("loop.compile is set", MSALClassifier, torch.optim.Adam, None, True),
        ("OwnLoss has its own loss", OwnLoss, torch.optim.Adam, None, False),
        ("AtOnce is no DrawnAugmentation", MSALClassifier, torch.optim.Adam, AtOnce(), False),
        ("LBFGS has no option capturable", MSALClassifier, torch.optim.LBFGS, None, False),
    ],
)
def test_the_reason_is_named(make_trainer, monkeypatch, why, cls, optimizer, augmentation, compiled):
    data, trainer = Digits(augmentation=augmentation), make_trainer()
    data.setup()
    model = cls(10, 1, lambda channels: SmallCNN(channels, width=4), optimizer=optimizer)
    assert why_no_graphs(trainer, model, data, compiled) == NO_GPU
    monkeypatch.setattr(type(trainer.strategy), "root_device", torch.device("cuda", 0))
    assert why_no_graphs(trainer, model, data, compiled) == why
