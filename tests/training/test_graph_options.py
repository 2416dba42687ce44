"""Within a capture an optimizer has other options; outside it has its own."""

import pytest
import torch
from torch.optim.lr_scheduler import StepLR

from msal_lightning.training.graph_options import GraphOptions, frozen_by_capture, lacks_state, why_not_captured

CPU = torch.device("cpu")


def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Dropout(0.2))


def step(model, optimizer):
    optimizer.zero_grad()
    model[0](torch.ones(4, 3)).square().sum().backward()
    optimizer.step()


@pytest.mark.parametrize("cls", [torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD])
def test_steps_are_the_same_and_the_options_come_back(cls):
    results = []
    for inside in (False, True):
        model = network()
        optimizer = cls(model.parameters(), lr=0.1, fused=True)
        schedule = StepLR(optimizer, step_size=1, gamma=0.5)
        options = GraphOptions(optimizer, CPU)
        for _ in range(3):
            options.refresh()
            if inside:
                with options():
                    assert torch.is_tensor(optimizer.param_groups[0]["lr"])
                    assert optimizer.param_groups[0].get("capturable", True)
                    step(model, optimizer)
            else:
                step(model, optimizer)
            schedule.step()
        assert optimizer.param_groups[0]["lr"] == 0.0125
        assert not optimizer.param_groups[0].get("capturable", False)
        results.append(model[0].weight.detach().clone())
    torch.testing.assert_close(*results, rtol=1e-6, atol=1e-7)


def test_optimizers_without_a_capture():
    weights = [torch.nn.Parameter(torch.zeros(2, 2))]
    assert why_not_captured(torch.optim.SGD(weights)) is None
    assert why_not_captured(torch.optim.RMSprop(weights)) is None
    assert why_not_captured(torch.optim.Adagrad(weights)) == "Adagrad has no option capturable"

    class Own(torch.optim.Adam):
        pass

    assert why_not_captured(Own(weights)) == "Own is no optimizer of torch.optim"


def change_momentum(model, optimizer):
    optimizer.param_groups[0]["betas"] = (0.8, 0.999)


def add_group(model, optimizer):
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.zeros(2))]})


@pytest.mark.parametrize(
    "change",
    [
        lambda model, _: model.eval(),
        lambda model, _: setattr(model[1], "p", 0.1),
        lambda model, _: model.requires_grad_(False),
        lambda model, _: setattr(model[0].weight, "data", torch.zeros(2, 3)),
        lambda model, _: torch.nn.utils.parametrizations.weight_norm(model[0]),
        change_momentum,
        add_group,
    ],
)
def test_what_a_capture_would_miss(change):
    model = network()
    optimizer = torch.optim.Adam(model.parameters())
    before = frozen_by_capture(model, optimizer)
    optimizer.param_groups[0]["lr"] = 0.5
    step(model, optimizer)
    assert frozen_by_capture(model, optimizer) == before
    change(model, optimizer)
    assert frozen_by_capture(model, optimizer) != before


def test_parameters_that_were_frozen_so_far_have_no_state():
    model = network()
    optimizer = torch.optim.Adam(model.parameters())
    assert not lacks_state(optimizer)  # none has one
    model[0].bias.requires_grad_(False)
    step(model, optimizer)
    assert not lacks_state(optimizer)
    model[0].bias.requires_grad_(True)
    assert lacks_state(optimizer)
    step(model, optimizer)
    assert not lacks_state(optimizer)
    GraphOptions(optimizer, CPU).refresh()
