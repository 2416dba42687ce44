"""EPIG against its definition, row by row and target by target."""

import numpy as np
import pytest
import torch

from msal_lightning import select_indices
from msal_lightning.strategies import BALD, EPIG, shared
from msal_lightning.strategies.epig import information
from msal_lightning.strategies.outputs import PoolOutputs


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def draw(passes, rows, num_classes, seed=0):
    """(T, N, C) logits: passes that agree on some rows and not on others."""
    common = torch.randn(1, rows, num_classes, generator=generator(seed))
    own = torch.randn(passes, rows, num_classes, generator=generator(seed + 1))
    return 2 * common + 3 * torch.rand(1, rows, 1, generator=generator(seed + 2)) * own


def naive(pool, targets):
    """Mean over targets of the divergence between the joint prediction and the product of the marginals."""
    pool, targets = pool.double().softmax(-1).numpy(), targets.double().softmax(-1).numpy()
    found = []
    for i in range(pool.shape[1]):
        of_targets = []
        for j in range(targets.shape[1]):
            joint = np.mean([np.outer(p[i], q[j]) for p, q in zip(pool, targets, strict=True)], axis=0)
            apart = np.outer(pool[:, i].mean(axis=0), targets[:, j].mean(axis=0))
            of_targets.append((joint * np.log(joint / apart)).sum())
        found.append(np.mean(of_targets))
    return np.array(found)


def selected(mc_logits, n, seed=0, **options):
    pool = PoolOutputs(torch.arange(mc_logits.shape[1]), mc_logits=mc_logits)
    return select_indices(EPIG(len(mc_logits), **options), [pool], None, n, generator(seed)).tolist()


@pytest.mark.parametrize(("passes", "num_classes"), [(2, 2), (5, 3), (10, 7)])
def test_information_is_its_definition(monkeypatch, passes, num_classes):
    pool, targets = draw(passes, 30, num_classes), draw(passes, 12, num_classes, seed=9)
    for block in (8_000_000, 1):
        monkeypatch.setattr(shared.distances, "_BLOCK", block)
        found = information(pool.softmax(-1), targets.softmax(-1))
        assert found.dtype == torch.float32
        np.testing.assert_allclose(found.numpy(), naive(pool, targets), atol=3e-6)


def test_picks_are_those_of_the_definition():
    mc_logits = draw(6, 60, 4)
    expected = np.argsort(-naive(mc_logits, mc_logits))  # with all rows as targets
    assert selected(mc_logits, 15, num_targets=60) == expected[:15].tolist()


def test_information_is_at_most_that_about_the_model():
    mc_logits = draw(8, 200, 5)
    bald = BALD(8).score(PoolOutputs(torch.arange(200), mc_logits=mc_logits), 0)
    found = information(mc_logits.softmax(-1), mc_logits[:, :50].softmax(-1))
    assert (found <= bald + 1e-5).all()
    assert (found >= -1e-5).all()


def test_disagreement_that_tells_nothing_about_targets_is_left():
    # row 0 splits the passes as the targets do, row 1 across them: BALD is ln 2 for both
    with_targets, across = [1, 1, 0, 0], [1, 0, 1, 0]
    sure = torch.tensor([[50.0, 0.0], [0.0, 50.0]])
    mc_logits = torch.stack([sure[torch.tensor(votes)] for votes in (across, with_targets, with_targets)], dim=1)
    found = information(mc_logits.softmax(-1), mc_logits[:, 2:].softmax(-1))
    torch.testing.assert_close(found, torch.tensor([0.0, np.log(2), np.log(2)], dtype=torch.float32))


def test_targets_are_drawn_by_the_generator():
    mc_logits = draw(4, 300, 3)
    first = selected(mc_logits, 20, num_targets=2)
    assert first == selected(mc_logits, 20, num_targets=2)
    assert any(selected(mc_logits, 20, seed, num_targets=2) != first for seed in range(1, 4))


@pytest.mark.parametrize(("options", "key"), [({"mc_samples": 1}, "mc_samples"), ({"num_targets": 0}, "num_targets")])
def test_options_out_of_range_are_refused(options, key):
    with pytest.raises(ValueError, match=rf"query\.{key} must be at least"):
        EPIG(**options)
