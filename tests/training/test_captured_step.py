"""A step is captured without a trace in the training, and replays that differ are found."""

import copy

import pytest
import torch
from torch import nn

from msal_lightning.training.captured_step import NotCapturedError, captured


@pytest.fixture
def training():
    """A network with dropout and BatchNorm, after one step; its optimizer; and a step on (index, draw)."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, fused=True)

    def step(inputs):
        def closure():
            optimizer.zero_grad()
            loss = model(inputs[0]).square().mean()
            loss.backward()
            return loss.detach()

        return optimizer.step(closure)

    step((torch.randn(5, 3),))
    return model, optimizer, step


def examples(n):
    return [(torch.randn(5, 3, generator=torch.Generator().manual_seed(k)),) for k in range(n)]


def state(model, optimizer):
    return copy.deepcopy((model.state_dict(), optimizer.state_dict()["state"])), torch.get_rng_state()


def same(one, other):
    torch.testing.assert_close(one, other, rtol=0, atol=0)
    return True


@pytest.mark.parametrize("n", [1, 2, 5])
def test_capture_leaves_everything_as_it_was(training, host_graphs, n):
    model, optimizer, step = training
    before = state(model, optimizer)
    replay = captured(step, examples(n), model, optimizer, "32-true", host_graphs(None))
    assert same(state(model, optimizer), before)
    assert all(weight.grad is None for weight in model.parameters())

    (inputs,) = examples(1)
    loss, after = replay(inputs), state(model, optimizer)
    torch.set_rng_state(before[1])
    model.load_state_dict(before[0][0])
    for weight, values in zip(model.parameters(), before[0][1].values(), strict=True):
        for key, value in values.items():
            optimizer.state[weight][key].copy_(value)
    assert torch.equal(step(inputs), loss)
    assert same(state(model, optimizer), after)


def test_an_error_in_a_capture_leaves_everything_as_it_was(training, host_graphs):
    model, optimizer, step = training
    before, graphs = state(model, optimizer), host_graphs(None)

    def fails(call):
        try:
            call()
            raise RuntimeError("operation not permitted when stream is capturing\nand a trace")
        finally:
            raise RuntimeError("operation failed due to a previous error during capture")  # as torch.cuda.graph does

    graphs.capture = fails
    with pytest.raises(NotCapturedError, match=r"^a step cannot be captured: operation not permitted when \w+ is cap"):
        captured(step, examples(2), model, optimizer, "32-true", graphs)
    assert same(state(model, optimizer), before)


def replays(call, model, optimizer, what):
    """A replay that goes wrong in one way."""
    if what == "nothing":
        return lambda: None
    if what == "a frozen mask":
        torch_state = torch.get_rng_state()
        return lambda: (torch.set_rng_state(torch_state), call())
    if what == "twice":
        return lambda: (call(), call())

    def slower():
        for group in optimizer.param_groups:
            group["lr"] = 0.005
        call()

    return slower


@pytest.mark.parametrize("what", ["nothing", "a frozen mask", "twice", "another learning rate"])
def test_a_wrong_replay_is_found(training, host_graphs, what):
    model, optimizer, step = training
    graphs = host_graphs(None)
    graphs.capture = lambda call: replays(call, model, optimizer, what)
    with pytest.raises(NotCapturedError, match="replay"):
        captured(step, examples(2), model, optimizer, "32-true", graphs)


def test_losses_that_are_no_numbers_are_left_to_others(training, host_graphs):
    model, optimizer, step = training
    nn.init.constant_(model[0].weight, float("nan"))
    captured(step, examples(2), model, optimizer, "32-true", host_graphs(None))
