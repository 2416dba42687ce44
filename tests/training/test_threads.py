"""Threads by the work of a step, and by what a run began with."""

import pytest
import torch

from msal_lightning import MSALClassifier
from msal_lightning.models.backbones import SmallCNN
from msal_lightning.models.cost import step_flop
from msal_lightning.training.threads import choose_threads


@pytest.fixture
def eight(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)


@pytest.mark.parametrize(("flop", "threads"), [(0.0, 1), (1.9e9, 1), (4e9, 2), (15e9, 7), (25e9, 8), (1e15, 8)])
def test_each_thread_has_two_gigaflop(eight, flop, threads):
    found, why = choose_threads(flop)
    assert found == threads
    assert bool(why) == (threads != 8)


@pytest.mark.parametrize(("recorded", "threads"), [("2", 2), ("8", 8), ("64", 8), ("many", 1)])
def test_a_resumed_run_uses_as_many_as_it_began_with_up_to_those_there_are(eight, recorded, threads):
    assert choose_threads(0.0, recorded)[0] == threads
    assert choose_threads(0.0, "2") == (2, "this run began with it")


def test_work_of_a_step_by_hand():
    model = MSALClassifier(10, 1, lambda channels: SmallCNN(channels, width=32)).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    layers = 8 * 8 * 9 * (1 * 32 + 32 * 64) + 4 * 4 * 9 * 64 * 128  # multiplications of three 3×3 convolutions
    heads = 128 * 9 + 9 * 10
    assert step_flop(model, (1, 8, 8), 32) == 3 * 32 * 2 * (layers + heads)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
