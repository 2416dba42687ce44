"""Each draw's own stream: derived from its key alone, today and in later versions."""

from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightning.pytorch import LightningModule

from msal_lightning.streams import EpochStreams, derive_seed, stream

PURPOSES = ["split", "init", "shuffle", "augment", "dropout", "query"]


@given(st.integers(-(2**70), 2**70), st.sampled_from(PURPOSES), st.lists(st.integers(0, 2**40), max_size=3))
def test_range(seed, purpose, key):
    derived = derive_seed(seed, purpose, *key)
    assert type(derived) is int
    assert 0 <= derived < 2**32
    assert derived == derive_seed(seed, purpose, *key)


def test_every_part_of_the_key_counts():
    keys = [()] + [(round,) for round in range(13)] + list(product(range(13), repeat=2))
    all_keys = [(seed, purpose, *key) for seed in range(3) for purpose in PURPOSES for key in keys]
    assert len({derive_seed(*key) for key in all_keys}) == len(all_keys)


@pytest.mark.parametrize(
    ("key", "derived"),
    [
        ((0, "split"), 2007728470),
        ((0, "init", 0), 3951901431),
        ((1, "shuffle", 2, 3), 3557942821),
        ((7, "query", 4), 1693628969),
        ((0, "augment", 0, 0, 0), 1431995074),
        ((0, "dropout", 0, 0, 0), 1197384181),
    ],
)
def test_later_versions_keep_the_streams(key, derived):
    assert derive_seed(*key) == derived


def test_stream_starts_at_its_beginning():
    first, again = stream(3, "query", 1), stream(3, "query", 1)
    assert torch.equal(torch.rand(5, generator=first), torch.rand(5, generator=again))
    assert not torch.equal(torch.rand(5, generator=first), torch.rand(5, generator=stream(3, "query", 1)))
    assert not torch.equal(
        torch.rand(5, generator=stream(3, "query", 1)), torch.rand(5, generator=stream(3, "init", 1))
    )
    assert stream(3, "query", 1).initial_seed() == derive_seed(3, "query", 1)
    assert first.device.type == "cpu"


def test_streams_leave_the_global_one_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    torch.rand(9, generator=stream(0, "split"))
    assert torch.equal(torch.rand(3), expected)


class Noise(LightningModule):
    """Keeps what each step draws from the global generator, as dropout does."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.drawn = []

    def training_step(self, batch, batch_idx):
        self.drawn.append(float(torch.rand(())))
        return self.weight * 1.0

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_training_noise_is_that_of_the_epoch(make_trainer, monkeypatch):
    for name in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS"):
        monkeypatch.setenv(name, "0")  # put back afterwards

    def draws(seed=0, round=0, max_epochs=2, disturb=0):
        torch.manual_seed(disturb)
        model = Noise()
        trainer = make_trainer(max_epochs=max_epochs, callbacks=[EpochStreams(seed, round)])
        # without a generator of its own, the loader would draw from the global one
        trainer.fit(model, torch.utils.data.DataLoader(torch.zeros(3, 1), generator=torch.Generator()))
        return model.drawn

    two_epochs = draws()
    assert len(set(two_epochs)) == 6
    assert draws(disturb=5) == two_epochs
    assert draws(max_epochs=3)[:6] == two_epochs
    assert not set(draws(seed=1)) & set(two_epochs)
    assert not set(draws(round=1)) & set(two_epochs)
    for epoch in range(2):
        generator = stream(0, "dropout", 0, epoch, 0)
        expected = [float(torch.rand((), generator=generator)) for _ in range(3)]
        assert two_epochs[3 * epoch : 3 * epoch + 3] == expected
