"""TCM is TypiClust below a size of the labeled set, and Margin from there on."""

import pytest
import torch

from msal_lightning import select_indices
from msal_lightning.strategies import TCM, Margin, TypiClust
from msal_lightning.strategies.outputs import PoolOutputs


def generator():
    return torch.Generator().manual_seed(0)


def outputs(rows, seed, first=0):
    made = torch.Generator().manual_seed(seed)
    embeddings, logits = torch.randn(rows, 5, generator=made), torch.randn(rows, 3, generator=made)
    return PoolOutputs(first + torch.arange(rows), embeddings=embeddings, logits=logits)


def selected(strategy, labeled, n=12):
    labeled = None if labeled is None else outputs(labeled, 1, first=1000)
    return select_indices(strategy, [outputs(100, 0)], labeled, n, generator()).tolist()


@pytest.mark.parametrize("labeled", [None, 0, 3, 14])
def test_few_labels_are_typiclust(labeled):
    assert selected(TCM(), labeled) == selected(TypiClust(), labeled)


@pytest.mark.parametrize(
    ("labeled", "options"), [(15, {}), (40, {}), (6, {"labels_per_class": 2}), (0, {"labels_per_class": 0})]
)
def test_many_labels_are_margin(labeled, options):
    assert selected(TCM(**options), labeled) == selected(Margin(), None)
    assert selected(Margin(), None) != selected(TypiClust(), labeled)


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_a_number_below_zero_is_refused(value):
    with pytest.raises(ValueError, match=r"query\.labels_per_class must be a number of at least 0"):
        TCM(labels_per_class=value)
