"""CEAL: what it buys, and which rows it is sure of, against a loop in plain Python."""

import math
from dataclasses import replace

import pytest
import torch

from msal_lightning import select_indices
from msal_lightning.cli.main import main
from msal_lightning.query.shortlist import StreamingShortlist
from msal_lightning.runs.records import read_records
from msal_lightning.strategies import BALD, CEAL, MSAL, Entropy, LeastConfidence, Margin
from msal_lightning.strategies.outputs import PoolOutputs


def entropy(row):
    powers = [math.exp(value - max(row)) for value in row]
    p = [power / sum(powers) for power in powers]
    return -sum(q * math.log(q) for q in p if q > 0)


def msal(row):
    """Eq. 2 for a point of the plane Σ = 0, whose simplex is the centred unit vectors, scaled to length 1."""
    scale = math.sqrt(len(row) / (len(row) - 1))
    length = math.sqrt(sum(value * value for value in row))
    cosines = [
        sum(scale * ((i == c) - 1 / len(row)) * value for i, value in enumerate(row)) / length for c in range(len(row))
    ]
    return 1 - max(cosines)


ORACLES = [pytest.param(Entropy, entropy, id="Entropy"), pytest.param(MSAL, msal, id="MSAL")]


def with_entropy(nats):
    """Logits of two classes with this entropy, class 1 ahead."""
    low, high = 0.0, 60.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if entropy([0, middle]) > nats else (low, middle)
    return [0.0, low]


def make_pool(logits, **more):
    logits = torch.as_tensor(logits, dtype=torch.float32)
    return PoolOutputs(100 + 3 * torch.arange(len(logits)), logits=logits, **more)


def head_logits(rows, num_classes, seed=0, scale=4.0):
    x = scale * torch.randn(rows, num_classes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (x - x.mean(dim=1, keepdim=True)).float()


def generator():
    return torch.Generator().manual_seed(0)


TINY = ["--config", "digits", "--loop.query_size", "10", "--model.backbone.width", "4", "--trainer.accelerator", "cpu"]
PLAN = ["fit", "--plan", *TINY, "--loop.query_budget", "180"]


def sure_of(strategy, pool, round=0):
    """Pseudo-labels of all rows, -1 for none."""
    return strategy.pseudo_labels(replace(pool, score=strategy.score(pool, 0)), round).tolist()


def batches(pool, size):
    return [pool.rows(rows) for rows in torch.arange(len(pool)).split(size)]


@pytest.mark.parametrize(("cls", "oracle"), ORACLES)
def test_most_uncertain_rows_are_bought(cls, oracle):
    pool = make_pool(head_logits(80, 4))
    expected = sorted(range(80), key=lambda row: -oracle(pool.logits[row].double().tolist()))[:15]
    queried = select_indices(CEAL(cls()), batches(pool, 7), None, 15, generator())
    assert queried.tolist() == pool.index[expected].tolist()


@pytest.mark.parametrize("round", [0, 1, 5, 15, 16, 17, 400])
@pytest.mark.parametrize(("cls", "oracle"), ORACLES)
def test_sure_is_below_a_threshold_that_falls_with_the_round(cls, oracle, round):
    logits = torch.cat([head_logits(300, 4), 1e4 * (torch.eye(4) - 0.25)])  # the last four: p is exactly 1
    delta = max(0.0, 0.05 - 0.0033 * round)
    expected = []
    for row in logits.double().tolist():
        uncertainty = oracle(row)
        assert abs(uncertainty - delta) > 1e-6 or uncertainty < 1e-6
        expected.append(row.index(max(row)) if max(0.0, uncertainty) < delta - 1e-7 else -1)
    assert sure_of(CEAL(cls()), make_pool(logits), round) == expected
    assert (expected[-4:] == [0, 1, 2, 3]) == (round <= 15)


@pytest.mark.parametrize("far", [1e4, 1e30, 200.0])
def test_rows_of_probability_1_are_the_surest(far):
    assert sure_of(CEAL(), make_pool([[0, far, 0], [far, 0, -math.inf], [0, 0, 0]])) == [1, 0, -1]


def test_threshold_is_in_nats():
    pool = make_pool([with_entropy(0.04), with_entropy(0.049), with_entropy(0.051)])  # 0.04 nats are 0.058 bits
    assert sure_of(CEAL(), pool) == [1, 1, -1]


def test_decay_does_not_accumulate():
    pool = make_pool([with_entropy(0.0330), with_entropy(0.0340)])
    strategy = CEAL()
    for round in (5, 0, 5, 5):  # 0.05 - 5 · 0.0033 = 0.0335, whatever was asked before
        assert sure_of(strategy, pool, round) == ([1, -1] if round else [1, 1])


def test_no_round_has_a_threshold_below_zero():
    pool = make_pool([[1e4, 0], [0, 0], [0, 3]])
    for round in (16, 1000):
        assert sure_of(CEAL(), pool, round) == [-1, -1, -1]
        assert select_indices(CEAL(), [pool], None, 2, generator()).tolist() == pool.index[[1, 2]].tolist()
    assert sure_of(CEAL(threshold=0.0), pool) == [-1, -1, -1]
    assert sure_of(CEAL(decay=0.0), pool, 1000) == [0, -1, -1]


def test_uncertainty_decides_both_what_is_bought_and_what_is_sure():
    # Entropy falls with the length of the logits, the angle to a prototype does not.
    on_a_prototype, between_two = [0.2, -0.1, -0.1], [10, 9, -19]
    pool = make_pool([on_a_prototype, between_two])
    assert select_indices(CEAL(Entropy()), [pool], None, 1, generator()).tolist() == [100]
    assert select_indices(CEAL(MSAL()), [pool], None, 1, generator()).tolist() == [103]
    assert sure_of(CEAL(Entropy(), threshold=0.7), pool) == [-1, 0]
    assert sure_of(CEAL(MSAL(), threshold=0.01), pool) == [0, -1]


def test_with_dropout_the_passes_say_how_sure_and_the_model_says_what():
    strategy = CEAL(Entropy(mc_samples=2))
    assert strategy.needs == {"logits", "mc_logits"}
    assert strategy.mc_samples == 2
    mc_logits = torch.tensor([[[0.0, 99], [99, 0]], [[0, 99.0], [0, 99]]])
    assert sure_of(strategy, make_pool([[0, 1], [1, 0]], mc_logits=mc_logits)) == [1, -1]


def test_what_is_bought_gets_no_pseudo_label():
    pool = make_pool([[99, 0], [0, 99], [0, 2], [99, 0], [0, 99], [99, 0]])
    order = torch.tensor([4, 0, 5, 3, 1, 2])
    running = StreamingShortlist(CEAL(), 3, generator(), round=0)
    for batch in batches(pool.rows(order), 2):
        running.add(batch)
    selection = running.finish()
    assert selection.index.tolist() == [106, 100, 103]  # the only unsure one, then the first of the sure ones
    index, labels = selection.pseudo_labels
    assert index.tolist() == [109, 112, 115]
    assert labels.tolist() == [0, 1, 0]


def test_head_and_number_of_classes_are_those_of_the_uncertainty():
    assert (CEAL().needs_prototypes, CEAL().min_classes, CEAL().name) == (False, 2, "CEAL-Entropy")
    strategy = CEAL(MSAL())
    assert (strategy.needs_prototypes, strategy.min_classes, strategy.name) == (True, 3, "CEAL-MSAL")


class Another(Entropy):
    """Not the entropy that the threshold was made for."""


@pytest.mark.parametrize("uncertainty", [Margin(), LeastConfidence(), BALD(), Another()], ids=lambda u: u.name)
def test_another_uncertainty_is_refused(uncertainty):
    with pytest.raises(
        ValueError, match=rf"query\.uncertainty of CEAL must be Entropy or MSAL, got {uncertainty.name}"
    ):
        CEAL(uncertainty)


@pytest.mark.parametrize("key", ["threshold", "decay"])
@pytest.mark.parametrize("value", [-0.01, math.nan, math.inf])
def test_threshold_and_decay_are_checked(key, value):
    with pytest.raises(ValueError, match=rf"query\.{key} must be a number of at least 0, got {value}"):
        CEAL(**{key: value})


@pytest.mark.parametrize("queries", [1, 3, 40, 80])
def test_a_threshold_may_fall_over_the_whole_run(queries):
    strategy = CEAL(threshold=0.06, decay="span")
    assert strategy.pseudo_label_threshold(1000) == 0.06  # nobody knows how long the run is
    strategy.expect_queries(queries)
    falls = [strategy.pseudo_label_threshold(round) for round in range(queries)]
    assert falls == pytest.approx([0.06 * (queries - k) / queries for k in range(queries)])
    assert min(falls) > 0
    pool = make_pool([with_entropy(0.9 * falls[-1]), with_entropy(0.07)])
    assert sure_of(strategy, pool, queries - 1) == [1, -1]


def test_the_plan_says_from_where_on_there_are_no_pseudo_labels(capsys):
    assert main([*PLAN, "--query", "CEAL"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "CEAL-Entropy makes no pseudo-labels in 2 of 18 queries, from round 16 on" in said
    assert main([*PLAN, "--query", "CEAL", "--query.decay", "span"]) == 0
    assert "no pseudo-labels" not in capsys.readouterr().out


def test_rounds_and_records_say_that_the_threshold_is_0(tmp_path, capsys):
    short = ["--trainer.max_epochs", "1", "--loop.query_budget", "20", "--query.threshold", "3", "--run_dir"]
    assert main(["fit", *TINY, "--query", "CEAL", "--query.decay", "3", *short, str(tmp_path / "a")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "+0 pseudo-labels (the threshold is 0 from here on)" in lines[3]
    pseudo = [record.pseudo_labels for record in read_records(tmp_path / "a")]
    assert [p and (p.threshold, len(p.index) > 1000) for p in pseudo] == [(3.0, True), (0.0, False), None]
