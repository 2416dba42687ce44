"""Fits that start from the model of the round before, and the same after a kill."""

import pytest
import torch
from lightning.pytorch import Callback

from msal_lightning import LoopOptions
from msal_lightning.errors import UserError
from msal_lightning.seeding import derive_seed


class Start(Callback):
    """Keeps the weights with which each fit begins."""

    def __init__(self):
        self.states = []

    def on_fit_start(self, trainer, module):
        self.states.append({name: value.clone() for name, value in module.state_dict().items()})


def saved(folder, round):
    return torch.load(folder / "checkpoints" / f"round-{round:03d}.ckpt")["state_dict"]


def run(make_loop, name, **options):
    start = Start()
    make_loop(name, callbacks=[start], keep_checkpoints="all", **options).run()
    return start.states


def test_a_fit_starts_from_the_model_of_the_round_before(make_loop, tmp_path):
    starts = run(make_loop, "run", warm_start=True)
    for round in (1, 2):
        before = saved(tmp_path / "run", round - 1)
        assert all(torch.equal(value, before[name]) for name, value in starts[round].items())
    cold = run(make_loop, "cold")
    assert all(torch.equal(value, cold[0][name]) for name, value in starts[0].items())
    assert not torch.equal(starts[1]["head.0.weight"], cold[1]["head.0.weight"])


def test_weights_shrink_and_are_perturbed(make_loop, tmp_path):
    starts = run(make_loop, "run", warm_start=True, shrink=0.5, perturb=0.01)
    for round in (1, 2):
        before = saved(tmp_path / "run", round - 1)
        generator = torch.Generator().manual_seed(derive_seed(0, "perturb", round))
        for name, value in starts[round].items():
            if name.endswith((".weight", ".bias")):
                noise = 0.01 * torch.randn(value.shape, generator=generator)
                torch.testing.assert_close(value, 0.5 * before[name] + noise)
            else:  # statistics of BatchNorm, prototypes
                assert torch.equal(value, before[name])


def test_a_killed_run_goes_on_as_if_nothing_had_happened(make_loop, killed, tmp_path):
    options = {"warm_start": True, "shrink": 0.6, "perturb": 0.02}
    make_loop("whole", **options).run()
    for kill_at in ((1, 0), (1, 3), (1, "test"), (2, 2)):
        killed(make_loop("killed", kill_at=kill_at, **options))
    make_loop("killed", **options).run()
    whole, other = saved(tmp_path / "whole", 2), saved(tmp_path / "killed", 2)
    assert all(torch.equal(value, other[name]) for name, value in whole.items())
    assert (tmp_path / "whole" / "ledger.csv").read_text() == (tmp_path / "killed" / "ledger.csv").read_text()


def test_the_model_before_is_missing(make_loop, killed, tmp_path):
    killed(make_loop("run", kill_at=(1, 2), warm_start=True))
    (tmp_path / "run" / "checkpoints" / "round-000.ckpt").unlink()
    with pytest.raises(UserError, match=r"expected the model of round 0 in '.*round-000.ckpt', .* found none: restore"):
        make_loop("run", warm_start=True).run()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"warm_start": True, "shrink": 0.0}, "loop.shrink to be above 0 and at most 1, got 0.0"),
        ({"warm_start": True, "perturb": -1.0}, "loop.perturb to be at least 0, got -1.0"),
        ({"perturb": 0.1}, "to be left out without loop.warm_start, got 1.0 and 0.1"),
        ({"warm_start": True, "keep_checkpoints": "none"}, "loop.keep_checkpoints to be last or all with loop.warm"),
    ],
)
def test_wrong_values(options, said):
    with pytest.raises(UserError, match=said):
        LoopOptions(10, **options)
