"""GALAXY against a plain walk along each line."""

import random
from itertools import pairwise

import numpy as np
import pytest
import torch

from msal_lightning import select_indices
from msal_lightning.strategies import GALAXY
from msal_lightning.strategies.galaxy import _next_place
from msal_lightning.strategies.outputs import PoolOutputs


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def outputs(logits, labels=None, first=0):
    return PoolOutputs(first + torch.arange(len(logits)), logits=torch.as_tensor(logits).float(), labels=labels)


def selected(pool, labeled, n, seed=0):
    return select_indices(GALAXY(), [pool], labeled, n, generator(seed)).tolist()


def on_a_line(states):
    """Pool and labeled set of two classes: ``+`` is the first class, ``-`` the other, ``.`` the pool."""
    logits = torch.tensor([[float(len(states) - i), 0.0] for i in range(len(states))]) / len(states)
    free = [i for i, state in enumerate(states) if state == "."]
    known = [i for i, state in enumerate(states) if state != "."]
    labels = torch.tensor([0 if states[i] == "+" else 1 for i in known])
    pool = PoolOutputs(torch.tensor(free), logits=logits[free])
    return pool, PoolOutputs(torch.tensor(known), logits=logits[known], labels=labels) if known else None


def walk(states):
    """Places that the paper's rule allows next, found by walking."""
    known = [(i, s) for i, s in enumerate(states) if s != "."]
    pairs = [(a, b) for (a, s), (b, t) in pairwise(known) if s != t]
    gaps = [(b - a - 1, a, b) for a, b in pairs if b - a > 1]
    if gaps:
        _, a, b = min(gaps)
        return {(a + b) // 2}
    free = [i for i, s in enumerate(states) if s == "."]
    if not pairs:
        return set(free)
    distance = {i: min(min(abs(i - a), abs(i - b)) for a, b in pairs) for i in free}
    return {min(free, key=distance.__getitem__)}


@pytest.mark.parametrize(
    ("states", "place"),
    [
        ("+....-", 2),
        ("+...-..+.-", 8),  # the shortest gap
        ("+..-..+-", 1),  # of equal gaps the first
        ("..+-..", 1),  # the cut is found: next to it
        ("..++-..", 5),
        ("+...+-....-", 3),
        ("+...+-....+", 7),
        ("....+-+-...", 3),
    ],
)
def test_next_image_by_hand(states, place):
    pool, labeled = on_a_line(states)
    assert selected(pool, labeled, 1) == [place]


def test_next_place_is_that_of_a_walk():
    draw = random.Random(0)
    for _ in range(500):
        states = draw.choices("+-.", weights=[1, 1, draw.choice([1, 3, 8])], k=draw.randint(2, 25))
        if "." not in states:
            continue
        state = torch.tensor([{"+": 1, "-": 0, ".": -1}[s] for s in states])
        assert _next_place(state, generator()) in walk(states)


def test_a_batch_halves_the_gap_by_predicted_classes():
    # two classes, predicted 0 for the first seven places: the middle of 0 and 8 is 4, predicted like 0; then 6, then 7
    logits = torch.tensor([[6.5 - i, 0.0] for i in range(9)])
    pool = PoolOutputs(torch.arange(1, 8), logits=logits[1:8])
    labeled = PoolOutputs(torch.tensor([0, 8]), logits=logits[[0, 8]], labels=torch.tensor([0, 1]))
    assert selected(pool, labeled, 3) == [4, 6, 7]


def test_a_line_is_by_probability_minus_the_largest():
    rows = [[5, 4, 1], [4, 3, 3], [4.5, 4.5, 1], [1, 8, 1], [3, 6, 1], [0, 1, 9]]
    p = torch.tensor(rows) / 10
    # class 1: predicted rows by probability (3, 4, 2), then by p₁ - max: 0, 1 (-0.1 both), 5 (-0.8)
    labels = torch.tensor([1, 2])
    labeled = PoolOutputs(torch.tensor([3, 5]), logits=(p[[3, 5]] + 1e-30).log(), labels=labels)
    pool = PoolOutputs(torch.tensor([0, 1, 2, 4]), logits=p[[0, 1, 2, 4]].log())
    found = {selected(pool, labeled, 1, seed)[0] for seed in range(30)}
    # the middle of the gap in the lines of class 1 (2), and of class 2 (5, then -0.1 … : 1); class 0 has no label: any
    assert {1, 2} <= found


def test_without_labels_of_both_sides_images_are_random():
    pool, labeled = on_a_line("+.........")
    assert len({selected(pool, labeled, 1, seed)[0] for seed in range(40)}) > 6
    assert len({selected(pool, None, 1, seed)[0] for seed in range(40)}) > 6


def test_classes_take_turns():
    # a line of three classes has one gap each, far from the others: every turn bisects another one
    logits = torch.randn(300, 3, generator=generator(1))
    labels = logits.argmax(dim=1)
    labeled = outputs(logits[:30], labels[:30], first=1000)
    picks = selected(outputs(logits[30:]), labeled, 3)
    p = logits.double().softmax(dim=1).numpy()
    scores = p - p.max(axis=1, keepdims=True) + 1e-8 * p.max(axis=1, keepdims=True)
    allowed = []
    for k in range(3):
        line = np.argsort(-scores[:, k])
        states = ["." if row >= 30 else "+" if labels[row] == k else "-" for row in line]
        allowed.append({int(line[place]) - 30 for place in walk(states)})
    assert any(picks[0] in found for found in allowed)
    assert len(set(picks)) == 3


def test_rare_classes_get_more_images_than_at_random():
    draw = generator(3)
    true = (torch.rand(2000, generator=draw) < 0.03).long()
    logits = torch.stack([torch.zeros(2000), 4.0 * true - 3 + torch.randn(2000, generator=draw)], dim=1)
    labeled = outputs(logits[:100], true[:100], first=5000)
    picks = selected(outputs(logits[100:]), labeled, 100)
    assert true[100:][picks].float().mean() > 3 * true.float().mean()
