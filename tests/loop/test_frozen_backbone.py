"""A frozen backbone does not change, whatever the optimizer does; later it is trained, and a kill changes nothing."""

import itertools
from functools import partial

import pytest
import torch
from lightning.pytorch import Callback
from torch.optim.lr_scheduler import StepLR

from msal_lightning import MSALClassifier
from msal_lightning.models.backbones import SmallCNN

decaying = partial(torch.optim.AdamW, lr=0.01, weight_decay=0.5)


class Watches(Callback):
    """Keeps the backbone and the head at the end of each epoch, with what the optimizer knows of them."""

    def __init__(self):
        self.seen = []

    def on_train_start(self, trainer, pl_module):
        self._keep(trainer, pl_module)

    def on_train_epoch_end(self, trainer, pl_module):
        self._keep(trainer, pl_module)

    def _keep(self, trainer, module):
        (optimizer,) = trainer.optimizers
        state = sum(bool(optimizer.state.get(p)) for p in module.backbone.parameters())
        self.seen.append((bytes_of(module.backbone), bytes_of(module.head), state, module.backbone.training))

    @property
    def changes(self):
        """Whether backbone and head changed in each epoch."""
        return [(one[0] != two[0], one[1] != two[1]) for one, two in itertools.pairwise(self.seen)]


def bytes_of(module):
    return b"".join(value.numpy().tobytes() for value in module.state_dict().values())


def left(folder):
    weights = torch.load(folder / "checkpoints" / "round-000.ckpt")["state_dict"]
    log = (folder / "fits" / "000" / "metrics.csv").read_text()
    return {name: value.numpy().tobytes() for name, value in weights.items() if isinstance(value, torch.Tensor)}, log


@pytest.fixture
def fit(make_loop):
    """``fit(name, freeze, ...)``: one fit of five epochs; returns what it did in each."""

    def run(name, freeze, **options):
        watches = Watches()
        model = partial(MSALClassifier, freeze=freeze, optimizer=decaying, **options)
        make_loop(name, model=model, query_budget=0, callbacks=[watches]).run()
        return watches

    return run


def test_the_backbone_changes_only_where_it_is_trained(fit):
    assert fit("none", "none").changes == [(True, True)] * 5
    first = fit("first", 2)
    assert first.changes == [(False, True)] * 2 + [(True, True)] * 3
    assert [state for *_, state, _ in first.seen] == [0, 0, 0, 9, 9, 9]  # of nine parameters
    assert [training for *_, training in first.seen[1:]] == [False, False, True, True, True]
    all_frozen = fit("all", "all")
    assert all_frozen.changes == [(False, True)] * 5
    assert not any(training for *_, training in all_frozen.seen[1:])
    assert all_frozen.seen[1:3] == [(backbone, head, 0, False) for backbone, head, *_ in first.seen[1:3]]


@pytest.mark.parametrize("freeze", [2, "all"])
def test_a_killed_fit_goes_on_as_if_nothing_had_happened(make_loop, killed, tmp_path, freeze):
    schedule = partial(StepLR, step_size=1, gamma=0.5)
    options = {"query_budget": 0, "model": partial(MSALClassifier, freeze=freeze, lr_scheduler=schedule)}
    make_loop("whole", **options).run()
    for epoch in range(5):
        killed(make_loop("killed", kill_at=(0, epoch), **options))
    make_loop("killed", **options).run()
    assert left(tmp_path / "killed") == left(tmp_path / "whole")


def test_a_frozen_backbone_is_saved_once(make_loop, killed):
    def model(classes, channels, backbone):
        return MSALClassifier(classes, channels, partial(SmallCNN, width=32), freeze="all")

    killed(loop := make_loop("killed", kill_at=(0, 3), model=model))
    weights = sum(value.nbytes for value in model(10, 1, None).state_dict().values())
    assert loop.run_directory.fit_checkpoint.stat().st_size < 1.3 * weights
