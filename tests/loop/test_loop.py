"""The loop as a whole: what it labels and what it writes."""

import csv

import pytest
import torch

from msal_lightning import MSALClassifier
from msal_lightning.data.label_guard import LabelAccessError
from msal_lightning.datasets import Digits
from msal_lightning.errors import UserError
from msal_lightning.models.backbones import SmallCNN
from msal_lightning.runs.budget import label_counts
from msal_lightning.strategies import (
    BALD,
    CEAL,
    MSAL,
    MSALD,
    Entropy,
    Margin,
    Random,
)


@pytest.fixture
def make_loop(loop_in, tmp_path):
    """A loop of three rounds (40, 80, 105 labels) that takes a second."""
    usual = {"epochs": 2, "checkpoint_seconds": 600}

    def make(name, strategy=None, **options):
        return loop_in(tmp_path / name, strategy or MSALD(), data=Digits(batch_size=32), **usual | options)

    return make


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def without_seconds(path):
    return [{key: value for key, value in row.items() if not key.startswith("seconds")} for row in rows(path)]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((1000, 40, 40, 120), [40, 80, 120, 160]),
        ((1000, 40, 50, 120), [40, 90, 140, 160]),  # b does not divide Q: the last query is smaller
        ((1000, 40, 500, 120), [40, 160]),
        ((1000, 40, 40, 0), [40]),
        ((100, 40, 60, 60), [40, 100]),  # buys the whole pool
        ((100, 100, 40, 0), [100]),
        ((100, "all", 40, 60), [100]),
        ((60000, 500, 250, 10000), [500 + 250 * k for k in range(41)]),  # Table 1, MNIST
    ],
)
def test_label_counts(arguments, expected):
    assert label_counts(*arguments) == expected


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        ((100, 0, 10, 10), "loop.initial_size"),
        ((100, 101, 10, 0), "loop.initial_size"),
        ((100, 40, 0, 10), "loop.query_size"),
        ((100, 40, -1, 10), "loop.query_size"),
        ((100, 40, 10, 61), "loop.query_budget"),
        ((100, 40, 10, -1), "loop.query_budget"),
    ],
)
def test_sizes_out_of_range_are_refused(arguments, key):
    with pytest.raises(UserError, match=key):
        label_counts(*arguments)


def test_rounds_train_on_the_budget_and_the_last_one_buys_nothing(make_loop):
    loop = make_loop("a")
    records = loop.run()
    assert [record.num_labeled for record in records] == [40, 80, 105]
    assert [record.num_pool for record in records] == [1257, 1217, 1192]
    assert [len(record.queried.index) for record in records] == [40, 25, 0]
    assert len(records[0].initial.index) == 40
    assert not records[1].initial.index
    assert loop.data.hidden_labels.num_revealed == 105 == len(loop.data.labeled)
    assert [sum(record.class_counts) for record in records] == [40, 25, 0]


def test_labeled_at_and_ledger_tell_the_same_history(make_loop, tmp_path):
    loop = make_loop("a")
    loop.run()
    ledger = rows(tmp_path / "a" / "ledger.csv")
    assert [int(row["round"]) for row in ledger] == [0] * 40 + [1] * 40 + [2] * 25
    assert [int(row["rank"]) for row in ledger] == [*range(40), *range(40), *range(25)]
    for row in ledger:
        assert loop.data.labeled_at[int(row["index"])] == int(row["round"])
        assert loop.data.labels[int(row["index"])] == int(row["label"])
    assert all(row["score"] == "" for row in ledger[:40])
    assert all(0 <= float(row["score"]) <= 2 for row in ledger[40:])
    truth = Digits().load()[0].label
    assert all(truth[int(row["index"])] == int(row["label"]) for row in ledger)


def test_a_seed_decides_everything(make_loop, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        make_loop(name, seed=seed).run()
    a, b, c = ((tmp_path / name / "ledger.csv").read_bytes() for name in "abc")
    assert a == b
    assert a != c
    assert without_seconds(tmp_path / "a" / "curve.csv") == without_seconds(tmp_path / "b" / "curve.csv")


def test_strategies_of_a_seed_share_initial_set_and_first_model(make_loop):
    strategies = (MSALD(), MSAL(), Entropy(), Random())
    first = {type(s).__name__: make_loop(type(s).__name__, s, query_budget=40).run()[0] for s in strategies}
    assert len({tuple(record.initial.index) for record in first.values()}) == 1
    assert len({record.metrics["test_loss"] for record in first.values()}) == 1
    linear = make_loop("linear", Random(), head="linear", query_budget=40).run()[0]
    assert linear.initial == first["Random"].initial
    assert linear.metrics["test_loss"] != first["Random"].metrics["test_loss"]


SURE = CEAL(MSAL(), threshold=0.9)  # sure of much, after two epochs


def test_pseudo_labels_stand_in_the_record_and_train_one_fit(make_loop, tmp_path, capsys):
    trained = []

    class Counts(MSALClassifier):
        def on_train_start(self):
            trained.append(len(self.trainer.datamodule.train_dataloader().sampler.batches.index))

    records = make_loop("a", SURE, model=Counts).run()
    pseudo = [record.pseudo_labels for record in records]
    assert pseudo[2] is None  # no query after the last round
    assert len(pseudo[0].index) > 20
    assert trained == [40, 80 + len(pseudo[0].index), 105 + len(pseudo[1].index)]
    truth = Digits().load()[0].label
    for record in records[:2]:
        index, label = record.pseudo_labels.index, record.pseudo_labels.label
        assert record.pseudo_labels.wrong == sum(int(truth[i]) != c for i, c in zip(index, label, strict=True))
        assert not set(index) & set(record.queried.index)
    assert [record.num_labeled for record in records] == [40, 80, 105]
    curve = rows(tmp_path / "a" / "curve.csv")
    assert [row["pseudo_labels"] for row in curve] == [str(len(pseudo[0].index)), str(len(pseudo[1].index)), ""]
    assert f"+{len(pseudo[0].index)} pseudo-labels, {pseudo[0].wrong} wrong" in capsys.readouterr().out


def test_every_round_has_a_fresh_model_and_optimizer(make_loop):
    seen = []

    class Witness(MSALClassifier):
        def on_train_start(self):
            state = self.optimizers().optimizer.state
            seen.append((self, [p.detach().clone() for p in self.parameters()], len(state)))

    make_loop("a", model=Witness).run()
    models, weights, optimizer_states = zip(*seen, strict=True)
    assert len({id(model) for model in models}) == 3
    assert optimizer_states == (0, 0, 0)
    torch.manual_seed(0)
    fresh = MSALClassifier(10, 1, lambda channels: SmallCNN(channels, width=4))
    for start in weights:  # BatchNorm at its initial values: nothing is carried over
        assert all(torch.all(p == 1) for p, (n, _) in zip(start, fresh.named_parameters(), strict=True) if ".1.w" in n)


@pytest.mark.parametrize(
    ("keep", "expected"), [("last", ["round-001.ckpt"]), ("all", ["round-000.ckpt", "round-001.ckpt"]), ("none", [])]
)
def test_checkpoints_that_are_kept(make_loop, tmp_path, keep, expected):
    make_loop("a", epochs=1, query_budget=40, checkpoint_seconds=0, keep_checkpoints=keep).run()
    assert sorted(file.name for file in (tmp_path / "a" / "checkpoints").iterdir()) == expected
    make_loop("a", epochs=1, query_budget=40, keep_checkpoints="none").run()  # may change even after the end
    assert sorted(file.name for file in (tmp_path / "a" / "checkpoints").iterdir()) == []


def test_pool_error_is_the_share_of_wrong_predictions_on_the_pool(make_loop, tmp_path):
    loop = make_loop("a", Random(), pool_error=True)
    records = loop.run()
    assert all(record.pool_error is not None for record in records)

    model = loop.fitter.new_model()
    model.load_state_dict(torch.load(tmp_path / "a" / "checkpoints" / "round-002.ckpt")["state_dict"])
    model.eval()
    images, truth = Digits().load()[0]
    wrong = 0
    for index in loop.data.pool.tolist():
        pixels = (images[index].float() / 255 - 0.305) / 0.376
        wrong += int(model(pixels[None]).argmax() != truth[index])
    assert records[-1].pool_error == wrong / 1192


def test_pool_error_is_known_where_the_query_saw_the_pool(make_loop):
    assert [r.pool_error is None for r in make_loop("entropy", Entropy()).run()] == [False, False, True]
    assert [r.pool_error is None for r in make_loop("random", Random()).run()] == [True, True, True]


def test_random_needs_no_forward_pass_over_the_pool(make_loop):
    class Blind(MSALClassifier):
        def predict_step(self, *_):
            raise AssertionError("the pool was looked at")

    assert len(make_loop("a", Random(), model=Blind).run()) == 3


def test_all_images_in_the_initial_set_is_one_fit(make_loop):
    (record,) = make_loop("full", initial_size="all").run()
    assert record.num_labeled == 1297
    assert record.num_pool == 0
    assert not record.queried.index


def test_the_whole_pool_can_be_bought(make_loop):
    records = make_loop("a", Margin(), initial_size=1200, query_size=60, query_budget=97).run()
    assert [len(record.queried.index) for record in records] == [60, 37, 0]
    assert records[-1].num_pool == 0


def test_half_precision_keeps_scores_in_float32(make_loop):
    records = make_loop("a", Entropy(), precision="bf16-mixed").run()
    scores = torch.tensor(records[0].queried.score)
    assert len(scores.bfloat16().unique()) < len(scores.unique())  # finer than bfloat16 could be


def test_global_randomness_is_left_alone(make_loop):
    torch.manual_seed(7)
    before = torch.get_rng_state()
    make_loop("a").run()
    assert torch.equal(torch.get_rng_state(), before)


def test_a_strategy_without_prototypes_is_refused_before_anything_is_written(make_loop, tmp_path):
    with pytest.raises(UserError, match=r"MSAL needs prototypes, got model.head linear"):
        make_loop("a", MSAL(), head="linear")
    assert not (tmp_path / "a").exists()


def test_a_strategy_that_reads_labels_stops_the_loop(make_loop):
    loop = make_loop("a")

    class Peeking(Entropy):
        def score(self, pool, seed):
            loop.data.hidden_labels.label(pool.index)
            return super().score(pool, seed)

    loop.strategy = Peeking()
    with pytest.raises(LabelAccessError, match="labels were read while the query was computed"):
        loop.run()


def test_labels_that_leak_past_the_strategy_stop_the_loop(make_loop):
    class Leaking(MSALClassifier):
        def predict_step(self, batch, batch_idx):
            self.trainer.datamodule.hidden_labels.label(batch.index[:1])
            return super().predict_step(batch, batch_idx)

    with pytest.raises(RuntimeError, match="revealed"):
        make_loop("a", model=Leaking).run()


def test_compiled_once_for_all_rounds_and_the_same_as_without(make_loop, monkeypatch):
    # eager: what is compiled, and how often, does not depend on what is made of it; inductor takes a minute
    torch._dynamo.reset()
    compiled = []

    def backend(graph, inputs):
        compiled.append(graph)
        return graph.forward

    monkeypatch.setattr(SmallCNN, "compile", lambda self: torch.nn.Module.compile(self, backend=backend))
    plain = make_loop("plain", BALD()).run()
    after_round = []
    loop = make_loop("compiled", BALD(), compile=True)
    commit = loop.run_directory.commit
    monkeypatch.setattr(
        loop.run_directory, "commit", lambda record: (after_round.append(len(compiled)), commit(record))
    )
    records = loop.run()
    assert after_round[0] > 0
    assert after_round[1] == after_round[2]
    assert [(r.queried, r.metrics) for r in records] == [(r.queried, r.metrics) for r in plain]
    again = make_loop("again", BALD(), compile=True).run()
    assert len(compiled) == after_round[-1]
    assert [(r.queried, r.metrics) for r in again] == [(r.queried, r.metrics) for r in plain]


@pytest.mark.slow
def test_compiled_by_inductor(make_loop):
    torch._dynamo.reset()
    compiled, plain = make_loop("a", Entropy(), compile=True).run(), make_loop("b", Entropy()).run()
    assert [r.accuracy for r in compiled] == pytest.approx([r.accuracy for r in plain], abs=0.05)
    assert compiled[0].queried.score == pytest.approx(plain[0].queried.score, abs=1e-3)
