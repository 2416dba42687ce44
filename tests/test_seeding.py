"""Each draw's own stream: derived from its key alone, today and in later versions."""

import random
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning.pytorch import LightningModule, seed_everything
from lightning.pytorch.utilities.seed import isolate_rng

from msal_lightning.seeding import EpochStreams, derive_seed, noise_of_rows, seed_generators, stream

PURPOSES = ["split", "init", "shuffle", "augment", "dropout", "query", "embeddings"]


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
        ((0, "embeddings"), 437132983),
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


# The noise of rows

MASK = 2**64 - 1
GOLDEN = 0x9E3779B97F4A7C15


def mix(z):
    """The finalizer of SplitMix64 in Python's own integers."""
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & MASK
    return z ^ (z >> 31)


def unmix(z):
    """Its inverse."""

    def unshift(value, bits):
        found = value
        for _ in range(64 // bits + 1):
            found = value ^ (found >> bits)
        return found

    z = unshift(z, 31) * pow(0x94D049BB133111EB, -1, 2**64) & MASK
    z = unshift(z, 27) * pow(0xBF58476D1CE4E5B9, -1, 2**64) & MASK
    return unshift(z, 30)


@pytest.mark.parametrize("seed", [0, 1, 12345, 2**31, 2**32 - 1, 2**63, 2**64 - 1])
def test_noise_is_that_of_split_mix(seed):
    index = torch.tensor([0, 1, 2, 59_999, 2**31 - 1, 2**31, 2**53 + 1, 2**63 - 1])
    expected = [mix(mix(seed) + (i + 1) * GOLDEN & MASK) / 2**64 for i in index.tolist()]
    got = noise_of_rows(seed, index)
    assert got.dtype == torch.float64
    np.testing.assert_allclose(got, expected, rtol=0, atol=2.0**-51)


@settings(deadline=None)
@given(st.integers(0, 2**64 - 1), st.lists(st.integers(0, 2**40), min_size=1, max_size=5))
def test_noise_of_a_row_is_its_own(seed, index):
    together = noise_of_rows(seed, torch.tensor(index))
    assert together.tolist() == [noise_of_rows(seed, torch.tensor([i])).item() for i in index]
    assert together.min() > 0
    assert together.max() < 1


@pytest.mark.parametrize("seed", [0, 1, 7, 2**32 - 1])
def test_noise_is_uniform_and_never_the_same_twice(seed):
    noise = noise_of_rows(seed, torch.arange(1_000_000))
    assert len(noise.unique()) == 1_000_000
    assert noise.mean().item() == pytest.approx(1 / 2, abs=4 * (1 / 12 / 1e6) ** 0.5)
    assert noise.var().item() == pytest.approx(1 / 12, abs=4 * (1 / 180 / 1e6) ** 0.5)
    counts = torch.histc(noise, 100, 0, 1)
    assert ((counts - 10_000) ** 2 / 10_000).sum() < 170  # 99 degrees of freedom: 99.999 % lie below


@pytest.mark.parametrize("step", [1, 2, 64, 4096])
def test_noise_of_neighbours_is_not_correlated(step):
    noise = noise_of_rows(3, torch.arange(100_000))
    assert abs(np.corrcoef(noise[step:], noise[:-step])[0, 1]) < 4 / 100_000**0.5


@pytest.mark.parametrize(("seed", "other"), [(0, 1), (1, 2), (5, 5 + 2**16), (0, 2**32 - 1), (2**31, 2**31 + 1)])
def test_noise_of_two_seeds_is_not_correlated(seed, other):
    a, b = noise_of_rows(seed, torch.arange(100_000)), noise_of_rows(other, torch.arange(100_000))
    for shift in (0, 1, abs(seed - other) % 1000):
        assert abs(np.corrcoef(a[shift:], b[: len(b) - shift])[0, 1]) < 4 / 100_000**0.5
    assert not set(a.tolist()) & set(b.tolist())


def test_noise_of_one_row_is_uniform_over_seeds():
    noise = torch.cat([noise_of_rows(seed, torch.tensor([0, 17])) for seed in range(10_000)]).view(-1, 2)
    for column in noise.T:
        assert column.mean().item() == pytest.approx(1 / 2, abs=4 * (1 / 12 / 1e4) ** 0.5)
        assert len(column.unique()) == 10_000
    assert abs(np.corrcoef(noise.T)[0, 1]) < 4 / 100


def test_noise_has_no_row_that_is_always_last():
    # Of a million draws the smallest is about 1e-6: one below 1e-10 is a fixed point of the hash, not chance.
    noise = torch.stack([noise_of_rows(seed, torch.arange(10_000)) for seed in range(100)])
    assert noise.min() > 1e-10
    assert noise.max() < 1 - 1e-10


@pytest.mark.parametrize(("bits", "low", "high"), [(0, 0, 2.0**-50), (MASK, 1 - 2.0**-50, 1)])
def test_noise_is_neither_0_nor_1_whatever_the_bits(bits, low, high):
    seed = unmix(unmix(bits) - GOLDEN & MASK)
    assert mix(mix(seed) + GOLDEN & MASK) == bits
    assert low < noise_of_rows(seed, torch.arange(1)).item() < high  # the Gumbel noise of 0 and 1 is infinite


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


def test_the_generators_get_the_seeds_that_lightning_gives_them():
    def draws():
        return random.random(), np.random.random(), torch.rand(()).item()  # noqa: NPY002

    with isolate_rng():
        seed_everything(2**32 - 1, verbose=False)
        expected = draws()
        seed_generators(2**32 - 1, torch.device("cpu"))
        assert draws() == expected
