"""Queries that are chosen ahead: ``loop.lag``."""

import csv

import pytest
import torch

from msal_lightning import MSALClassifier
from msal_lightning.datasets import Digits
from msal_lightning.errors import ConfigError
from msal_lightning.oracles import Told
from msal_lightning.strategies import Random

SIZES = {"query_size": 20, "query_budget": 70, "epochs": 2}  # 40, 60, 80, 100, 110 labels


@pytest.fixture
def plain():
    return Digits(batch_size=32)


def entropy_order(file, data, index):
    """Entropies by a saved model, highest first."""
    model = MSALClassifier.load_from_checkpoint(file).eval()
    with torch.inference_mode():
        images = (data.images[index] / 255 - data.mean[0]) / data.std[0]
        p = model(images).softmax(1).double()
    return index[(p * p.log()).sum(1).argsort()]


@pytest.mark.parametrize("lag", [1, 2])
def test_each_query_is_made_by_the_model_of_so_many_rounds_before(make_loop, tmp_path, plain, lag):
    loop = make_loop("run", data=plain, keep_checkpoints="all", lag=lag, **SIZES)
    records = loop.run()
    assert [record.num_labeled for record in records] == [40, 60, 80, 100, 110]
    taken, chosen = {*records[0].initial.index}, []
    batches = [record.queried.index for record in records]
    for k in range(4):  # batch k of the naive run is labeled after round k
        by = max(0, k - lag)
        pool = torch.tensor([i for i in range(len(plain.labeled_at)) if i not in taken])
        order = entropy_order(tmp_path / f"run/checkpoints/round-{by:03d}.ckpt", plain, pool).tolist()
        chosen.append(order[: len(batches[k])])
        taken |= {*chosen[-1]}
    assert [{*one} for one in batches[:4]] == [{*one} for one in chosen]
    assert batches[4] == []
    assert [len(record.upcoming.index) if record.upcoming else 0 for record in records] == (
        [20, 20, 10, 0, 0] if lag == 1 else [40, 30, 10, 0, 0]
    )
    assert len(plain.split.labeled) == 110


def test_a_killed_run_reserves_the_same_images(make_loop, killed, tmp_path, plain):
    make_loop("whole", data=plain, lag=1, **SIZES).run()
    for round, phase in ((1, 0), (2, "pool pass"), (3, 1)):
        killed(make_loop("broken", data=Digits(batch_size=32), lag=1, kill_at=(round, phase), **SIZES))
    make_loop("broken", data=Digits(batch_size=32), lag=1, **SIZES).run()
    whole, broken = (tmp_path / name / "ledger.csv" for name in ("whole", "broken"))
    assert broken.read_bytes() == whole.read_bytes()
    states = [torch.load(tmp_path / f"{name}/checkpoints/round-004.ckpt")["state_dict"] for name in ("whole", "broken")]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_without_a_model_the_queries_are_cut_from_one_order(make_loop, plain):
    records = make_loop("run", Random(), data=plain, lag=1, **SIZES).run()
    assert len({i for record in records for i in record.queried.index}) == 70


def test_a_negative_lag_is_refused(make_loop):
    with pytest.raises(ConfigError, match=r"loop\.lag to be at least 0, got -1"):
        make_loop("run", lag=-1)


# ---------------------------------------------------------------- ask and tell


def unlabeled():
    data = Digits(batch_size=32)
    truth = data.load()[0].label
    load = data.load

    def without_labels():
        train, test = load()
        return train._replace(label=torch.full_like(train.label, -1)), test

    data.load, data.partly_labeled = without_labels, True
    return data, {str(i): str(int(c)) for i, c in enumerate(truth)}


@pytest.mark.parametrize("lag", [0, 1])
def test_told_labels_give_the_run_of_known_labels(make_loop, tmp_path, plain, lag):
    known = make_loop("known", data=plain, lag=lag, **SIZES)
    known.run()
    data, truth = unlabeled()
    loop, asked = make_loop("told", data=data, lag=lag, oracle=Told(), **SIZES), []
    while batches := loop.ask():
        asked.append([batch.name for batch in batches])
        paths = [item.path for batch in batches for item in batch.items if item.path not in loop.oracle.told()]
        half = paths[: len(paths) // 2]
        loop.tell({path: truth[path] for path in half}, "anna")
        if len(asked) == 3:  # what was told is on disk, so another process goes on
            loop.close()
            data, _ = unlabeled()
            loop = make_loop("told", data=data, lag=lag, oracle=Told(), **SIZES)
            assert [batch.name for batch in loop.ask()] == asked[-1]
            assert loop.oracle.told() == {path: truth[path] for path in half}
        loop.tell({path: truth[path] for path in paths if path not in half})
    assert loop.waiting is None
    assert asked[0] == ["initial"]
    assert asked[1] == (["round-000", "round-001"] if lag else ["round-000"])

    def ledger(run):
        with (tmp_path / run / "ledger.csv").open(newline="") as file:
            return [(row["round"], row["index"], row["label"], row["score"]) for row in csv.DictReader(file)]

    assert ledger("told") == ledger("known")
    assert [r.accuracy for r in loop.records] == [r.accuracy for r in known.records]
    assert len(loop.records[0].votes.index) == (40 if lag else 30)  # of anna: half of what was open
