"""ALFA-Mix against the authors' steps: every anchor mixed in by its closed form, and the head called on the mixture."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from msal_lightning import select_indices
from msal_lightning.models.prototypes import LinearHead, PrototypeHead
from msal_lightning.strategies import ALFAMix
from msal_lightning.strategies.outputs import PoolOutputs
from msal_lightning.strategies.shared.kmeans import kmeans


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def problem(num_classes=4, dimensions=6, rows=150, known=12, prototypes=False, seed=0):
    """Pool, labeled set and head."""
    x = torch.randn(rows + known, dimensions, generator=generator(seed))
    layer = LinearHead(dimensions, num_classes - prototypes)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator(seed + 1)))
        layer.bias.copy_(torch.randn(layer.bias.shape, generator=generator(seed + 2)))
    head = torch.nn.Sequential(layer, PrototypeHead(num_classes)) if prototypes else layer
    labels = torch.randint(num_classes, (known,), generator=generator(seed + 3))
    labeled = PoolOutputs(1000 + torch.arange(known), embeddings=x[rows:], labels=labels)
    return PoolOutputs(torch.arange(rows), embeddings=x[:rows]), labeled, head


def selected(pool, labeled, head, n, seed=0, **options):
    return select_indices(ALFAMix(**options), [pool], labeled, n, generator(seed), head).tolist()


def candidates(pool, labeled, head, epsilon):
    """Rows whose prediction changes for any anchor."""
    z = pool.embeddings.double().requires_grad_()
    bias = head(torch.zeros(1, z.shape[1])).detach().double()
    weight = head(torch.eye(z.shape[1])).detach().double() - bias
    logits = z @ weight + bias
    predicted = logits.argmax(dim=1)
    (gradient,) = torch.autograd.grad(F.cross_entropy(logits, predicted), z)
    found = set()
    for k in range(logits.shape[1]):
        of_class = labeled.embeddings[labeled.labels == k].double()
        anchor = (of_class if len(of_class) else labeled.embeddings.double()).mean(dim=0)
        difference = anchor - z
        length = epsilon / math.sqrt(z.shape[1]) * difference.norm(dim=1) / gradient.norm(dim=1)
        alpha = length[:, None] * gradient / difference
        mixed = (1 - alpha) * z + alpha * anchor
        found |= set(((mixed @ weight + bias).argmax(dim=1) != predicted).nonzero()[:, 0].tolist())
    return sorted(found)


@pytest.mark.parametrize("prototypes", [False, True])
@pytest.mark.parametrize(("num_classes", "known"), [(3, 10), (6, 4)])  # 4 labels: classes without any
def test_picks_are_those_of_the_authors_steps(num_classes, known, prototypes):
    for seed in range(4):
        pool, labeled, head = problem(num_classes, known=known, prototypes=prototypes, seed=seed)
        expected = candidates(pool, labeled, head, 0.5)
        assert 8 < len(expected) < 150
        x = F.normalize(pool.embeddings[expected], dim=1)
        centers, _ = kmeans(x, 8, generator(seed))
        picks = []
        for center in centers:
            order = (x - center).norm(dim=1).argsort().tolist()
            picks.append(next(row for row in order if row not in picks))
        assert selected(pool, labeled, head, 8, seed, epsilon=0.5) == [expected[row] for row in picks]


def test_epsilon_grows_until_enough_predictions_change():
    pool, labeled, head = problem(dimensions=4, seed=2)
    found = [candidates(pool, labeled, head, epsilon) for epsilon in (0.1, 0.2, 0.3)]
    n = len(found[1])
    assert len(found[0]) < n < len(found[2])
    assert sorted(selected(pool, labeled, head, n, epsilon=0.1)) == found[1]
    assert set(selected(pool, labeled, head, n + 1, epsilon=0.1)) <= set(found[2])


def test_random_images_fill_the_batch():
    pool, labeled, head = problem()
    expected = candidates(pool, labeled, head, 1.0)
    n = len(expected) + 5
    picks = [selected(pool, labeled, head, n, seed) for seed in range(4)]
    assert all(each[: len(expected)] == expected for each in picks)
    assert len({tuple(each) for each in picks}) == 4
    assert len({row for seed in range(30) for row in selected(pool, None, head, 3, seed)}) > 50  # no label, no anchor


def test_it_works_on_outputs_of_inference_mode():
    pool, labeled, head = problem()
    expected = selected(pool, labeled, head, 7)
    with torch.inference_mode():
        assert selected(PoolOutputs(pool.index, embeddings=pool.embeddings.clone()), labeled, head, 7) == expected
    assert all(parameter.grad is None for parameter in head.parameters())


def test_certain_images_are_no_candidates():
    pool, labeled, head = problem()
    far = pool.embeddings.clone()
    far[::2] *= 1e4  # probabilities of exactly 1: no gradient, no direction
    picks = selected(PoolOutputs(pool.index, embeddings=far), labeled, head, 10)
    assert np.mean([row % 2 for row in picks]) == 1


@pytest.mark.parametrize("epsilon", [0, -1, 1.1, math.nan])
def test_epsilon_out_of_range_is_refused(epsilon):
    with pytest.raises(ValueError, match=r"query\.epsilon must be above 0 and at most 1"):
        ALFAMix(epsilon)
