"""DIRECT against plain loops over a line."""

import random

import pytest
import torch

from msal_lightning import select_indices
from msal_lightning.strategies import DIRECT
from msal_lightning.strategies.direct import _around, _region, _threshold
from msal_lightning.strategies.outputs import PoolOutputs


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def outputs(logits, labels=None, first=0):
    return PoolOutputs(first + torch.arange(len(logits)), logits=logits, labels=labels)


def selected(pool, labeled, n, seed=0):
    return select_indices(DIRECT(), [pool], labeled, n, generator(seed)).tolist()


def side(states):
    return torch.tensor([{"+": 1, "-": -1, ".": 0}[s] for s in states])


def lines(count):
    draw = random.Random(0)
    return [draw.choices("+-.", weights=[1, 1, draw.choice([1, 4])], k=draw.randint(1, 20)) for _ in range(count)]


@pytest.mark.parametrize(
    ("states", "region"),
    [
        ("+.+..-.-", (2, 5)),
        ("+.-..+.-.", (0, 7)),
        ("..-.", (0, 2)),
        ("..+.", (2, 3)),
        ("....", (0, 3)),
        ("-..+", (0, 3)),
    ],
)
def test_region_by_hand(states, region):
    assert _region(side(states)) == region


def test_region_is_that_of_the_authors_walk():
    for states in lines(300):
        first = last = 0
        for i, s in enumerate(states):
            if s == "-":
                break
            first = i if s == "+" else first
        for i, s in enumerate(reversed(states)):
            if s == "+":
                break
            last = i if s == "-" else last
        assert _region(side(states)) == (first, len(states) - 1 - last)


def test_threshold_is_among_the_best_and_in_their_middle():
    for states in lines(300):
        value = {"+": 1, "-": -1, ".": 0}
        quality = [
            sum(value[s] for s in states[:j]) - sum(value[s] for s in states[j:]) for j in range(len(states) + 1)
        ]
        first = last = quality.index(max(quality))
        while last + 1 < len(quality) and quality[last + 1] == max(quality):
            last += 1
        assert _threshold(side(states)) == (first + last) // 2


@pytest.mark.parametrize(
    ("threshold", "order"), [(2, [1, 2, 0, 3, 4]), (0, [0, 1, 2, 3, 4]), (5, [4, 3, 2, 1, 0]), (4, [3, 4, 2, 1, 0])]
)
def test_places_around_a_threshold(threshold, order):
    assert _around(threshold, 5).tolist() == order


def test_half_is_drawn_from_the_regions_and_half_lies_at_the_thresholds():
    # two classes on one line of 200 images; labeled at 40 (class 0) and at 160 (class 1): the threshold is at 100
    logits = torch.stack([torch.linspace(5, -5, 200), torch.zeros(200)], dim=1)
    known = torch.tensor([40, 160])
    labeled = PoolOutputs(known, logits=logits[known], labels=torch.tensor([0, 1]))
    free = torch.tensor([row for row in range(200) if row not in (40, 160)])
    pool = PoolOutputs(free, logits=logits[free])
    seen = set()
    for seed in range(20):
        picks = selected(pool, labeled, 20, seed)
        assert all(40 < row < 160 for row in picks[:10])
        assert all(abs(row - 100) <= 11 for row in picks[10:])
        seen |= set(picks[:10])
    assert len(seen) > 80


def test_a_wrong_label_moves_no_threshold():
    states = "+" * 6 + "-" + "+" * 6 + "......" + "-" * 12
    assert _threshold(side(states)) == 16


def test_small_batches_lie_at_the_thresholds():
    logits = torch.randn(100, 6, generator=generator(1))
    labeled = outputs(logits[:20], logits[:20].argmax(dim=1), first=1000)
    assert len(set(selected(outputs(logits[20:]), labeled, 5))) == 5  # fewer than two images a class
    assert len(set(selected(outputs(logits[20:]), None, 30))) == 30


def test_rare_classes_get_more_images_than_at_random():
    draw = generator(3)
    true = (torch.rand(2000, generator=draw) < 0.03).long()
    logits = torch.stack([torch.zeros(2000), 4.0 * true - 3 + torch.randn(2000, generator=draw)], dim=1)
    labeled = outputs(logits[:100], true[:100], first=5000)
    picks = selected(outputs(logits[100:]), labeled, 100)
    assert true[100:][picks].float().mean() > 3 * true.float().mean()
