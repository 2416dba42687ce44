"""How many labels each round of a configuration means."""

import pytest

from msal_lightning.runs.budget import is_full, label_counts_of, num_rounds

LOOP = {"loop.initial_size": 40, "loop.query_size": 40, "loop.query_budget": 100}


@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        ({}, [40, 80, 120, 140]),  # by hand: 40, then twice 40, then the 20 that are left
        ({"loop.query_budget": 0}, [40]),
        ({"loop.query_size": 100}, [40, 140]),
        ({"loop.initial_size": "all"}, None),
        ({"loop.replay": "runs/x"}, None),
        ({"loop.query_budget": None}, None),
    ],
)
def test_label_counts(changes, counts):
    config = LOOP | changes
    assert label_counts_of(config) == counts
    assert num_rounds(config) == len(counts or [0])
    assert is_full(config) == (config["loop.initial_size"] == "all")
