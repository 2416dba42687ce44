"""A pool too large to score whole: each round looks at a random subset of it."""

import csv
import math
import re

import pytest
import torch
from lightning.pytorch import Trainer

from msal_lightning import ActiveLoop, LoopOptions, MSALClassifier, RunDirectory
from msal_lightning.cli.main import main
from msal_lightning.datasets import Digits
from msal_lightning.errors import UserError
from msal_lightning.models.backbones import SmallCNN
from msal_lightning.runs.records import read_records
from msal_lightning.seeding import stream
from msal_lightning.strategies import BADGE, BALD, CEAL, MSAL, MSALD, Entropy, KCenter, ProbCover, Random, TypiClust

SIZE = 1297


@pytest.fixture
def make_loop(tmp_path):
    """A loop of four rounds (40, 60, 80, 90 labels); ``seen`` holds the pool images that each round's model got."""

    def make(name, strategy=None, pool_limit=100, *, seed=0, seen=None, data=None, **options):
        class Witness(MSALClassifier):
            def predict_step(self, batch, batch_idx, dataloader_idx=0):
                if seen is not None:
                    assert (batch.label == -1).all() == (dataloader_idx == 0)
                    key = "labeled" if dataloader_idx else "pool"
                    seen.setdefault((self.trainer.datamodule.round, key), []).extend(batch.index.tolist())
                return super().predict_step(batch, batch_idx)

        sizes = {"initial_size": 40, "query_size": 20, "query_budget": 50} | options
        return ActiveLoop(
            lambda: Witness(10, 1, lambda channels: SmallCNN(channels, width=2)),
            lambda **settings: Trainer(max_epochs=1, accelerator="cpu", devices=1, **settings),
            data or Digits(batch_size=32),
            strategy or MSALD(),
            RunDirectory(tmp_path / name),
            LoopOptions(seed=seed, pool_limit=pool_limit, **sizes),
        )

    return make


def ledger(path):
    with (path / "ledger.csv").open() as file:
        return list(csv.DictReader(file))


def pools_before_each_round(records):
    pool = set(range(SIZE)) - set(records[0].initial.index)
    for record in records:
        yield set(pool)
        pool -= set(record.queried.index)


# ---------------------------------------------------------------- the subset


def ready(seed=0, round=0, limit=None, labeled=40):
    data = Digits()
    data.setup()
    data.reset(seed)
    data.draw_initial(labeled)
    data.enter(round=round, pool_limit=limit)
    return data


@pytest.mark.parametrize("limit", [1, 2, 100, 1256, 1257])
def test_the_subset_is_of_the_pool_ascending_and_of_its_size(limit):
    data = ready(limit=limit)
    scored = data.scored.tolist()
    assert len(scored) == limit
    assert scored == sorted(set(scored))
    assert set(scored) <= set(data.pool.tolist())
    assert torch.cat([batch.index for batch in data.predict_dataloader()]).tolist() == scored


@pytest.mark.parametrize("limit", [None, 1257, 1258, 10**9])
def test_a_limit_above_the_pool_is_the_whole_pool(limit):
    data = ready(limit=limit)
    assert torch.equal(data.scored, data.pool)


def test_the_subset_depends_on_seed_and_round_alone():
    first = ready(seed=3, round=2, limit=100).scored
    torch.manual_seed(99)
    again = ready(seed=3, round=2, limit=100)
    assert torch.equal(again.scored, first)
    assert torch.equal(again.scored, first)  # and asking twice changes nothing
    others = [ready(seed=seed, round=round, limit=100).scored for seed, round in ((3, 1), (3, 3), (4, 2))]
    for other in others:
        assert len(set(other.tolist()) & set(first.tolist())) < 30  # 8 by chance
    used = ready(seed=3, round=2, limit=100)
    used.label(used.pool[:20])
    assert set(used.scored.tolist()) <= set(used.pool.tolist())


def test_drawing_leaves_the_global_stream_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    list(ready(limit=100).predict_dataloader())
    assert torch.equal(torch.rand(3), expected)


def test_each_image_of_the_pool_is_as_likely_as_another():
    counts, runs, limit = torch.zeros(SIZE), 400, 126
    data = ready(limit=limit)
    for round in range(runs):
        data.enter(round=round)
        counts[data.scored] += 1
    of_pool, expected = counts[data.pool], runs * limit / 1257
    assert counts.sum() == of_pool.sum() == runs * limit
    chi_square = float(((of_pool - expected) ** 2 / expected).sum()) / (1 - limit / 1257)
    assert abs(chi_square - 1256) < 5 * math.sqrt(2 * 1256)


def test_the_subset_is_not_what_the_query_draws_with():
    data = ready(seed=0, round=1, limit=100)
    of_the_query = torch.randperm(len(data.pool), generator=stream(0, "query", 1))[:100]
    assert len(set(data.scored.tolist()) & set(data.pool[of_the_query].tolist())) < 30  # 8 by chance


# ---------------------------------------------------------------- in a loop


@pytest.mark.parametrize(
    "strategy",
    [
        KCenter(),
        BALD(mc_samples=2),
        CEAL(MSAL(), threshold=0.5),
        *(
            pytest.param(strategy, marks=pytest.mark.slow)
            for strategy in (MSALD(), Entropy(), BADGE(), TypiClust(), ProbCover())
        ),
    ],
    ids=lambda strategy: strategy.name,
)
def test_only_the_subset_is_seen_and_bought(make_loop, strategy):
    seen = {}
    loop = make_loop("a", strategy, seen=seen)
    records = loop.run()
    assert [record.num_scored for record in records] == [100, 100, 100, 0]
    assert [record.num_labeled for record in records] == [40, 60, 80, 90]
    subsets = []
    for record, pool in zip(records[:-1], pools_before_each_round(records), strict=False):
        subset = seen[record.round, "pool"]
        assert len(subset) == len(set(subset)) == 100
        assert set(subset) <= pool
        assert record.num_pool == len(pool)  # what there is, not what was scored
        assert len(record.queried.index) == len(set(record.queried.index))
        assert set(record.queried.index) <= set(subset)
        if record.pseudo_labels:
            assert set(record.pseudo_labels.index) <= set(subset)
        if strategy.needs_labeled:
            assert len(seen[record.round, "labeled"]) == record.num_labeled  # the labeled set stays whole
        subsets.append(set(subset))
    assert all(len(a & b) < 30 for a in subsets for b in subsets if a is not b)  # fresh each round: 8 by chance


def test_strategies_of_a_seed_see_the_same_first_subset(make_loop):
    first = []
    for strategy in (MSALD(), Entropy(), KCenter()):
        seen = {}
        make_loop(strategy.name, strategy, seen=seen, query_budget=20).run()
        first.append(seen[0, "pool"])
    assert first[0] == first[1] == first[2]
    seen = {}
    make_loop("other", seed=1, seen=seen, query_budget=20).run()
    assert seen[0, "pool"] != first[0]


def test_a_seed_decides_everything(make_loop, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        make_loop(name, seed=seed).run()
    assert ledger(tmp_path / "a") == ledger(tmp_path / "b") != ledger(tmp_path / "c")


def test_batches_of_the_pool_pass_change_nothing(make_loop, tmp_path):
    for name, eval_batch_size in (("a", 500), ("b", 7)):
        make_loop(name, Entropy(), data=Digits(batch_size=32, eval_batch_size=eval_batch_size)).run()
    columns = [[(row["round"], row["rank"], row["index"]) for row in ledger(tmp_path / name)] for name in "ab"]
    assert columns[0] == columns[1]


def test_a_limit_changes_what_is_bought(make_loop, tmp_path):
    make_loop("limited").run()
    make_loop("whole", pool_limit=None).run()
    assert ledger(tmp_path / "limited") != ledger(tmp_path / "whole")


def test_a_limit_above_the_pool_changes_nothing(make_loop, tmp_path):
    records = {}
    for name, limit in (("whole", None), ("limited", 5000)):
        records[name] = make_loop(name, pool_limit=limit).run()
    assert ledger(tmp_path / "limited") == ledger(tmp_path / "whole")
    assert [record.num_scored for record in records["limited"]] == [1257, 1237, 1217, 0]


def test_a_limit_that_the_pool_falls_below(make_loop):
    options = {"initial_size": 1200, "query_size": 40, "query_budget": 97}
    records = make_loop("a", Entropy(), pool_limit=50, **options).run()
    assert [record.num_pool for record in records] == [97, 57, 17, 0]
    assert [record.num_scored for record in records] == [50, 50, 17, 0]
    assert [len(record.queried.index) for record in records] == [40, 40, 17, 0]


def test_a_limit_of_one_query_buys_all_that_is_seen(make_loop):
    seen = {}
    records = make_loop("a", pool_limit=20, seen=seen).run()
    for record in records[:2]:
        assert sorted(record.queried.index) == seen[record.round, "pool"]


def test_random_is_not_concerned(make_loop, tmp_path):
    seen = {}
    records = make_loop("limited", Random(), pool_limit=20, seen=seen).run()
    make_loop("whole", Random(), pool_limit=None).run()
    assert not seen
    assert not any(record.num_scored for record in records)
    assert ledger(tmp_path / "limited") == ledger(tmp_path / "whole")


def test_pool_error_is_that_of_the_subset(make_loop, tmp_path):
    seen = {}
    records = make_loop("a", Random(), seen=seen, pool_error=True, query_size=50).run()
    assert [record.num_scored for record in records] == [100, 100]
    images, truth = Digits().load()[0]
    model = MSALClassifier(10, 1, lambda channels: SmallCNN(channels, width=2))
    model.load_state_dict(torch.load(tmp_path / "a" / "checkpoints" / "round-001.ckpt")["state_dict"])
    model.eval()
    subset = seen[1, "pool"]
    with torch.no_grad():
        predicted = model((images[subset].float() / 255 - 0.305) / 0.376).argmax(dim=1)
    assert records[-1].pool_error == pytest.approx(float((predicted != truth[subset]).double().mean()), abs=1e-9)


def test_on_a_long_tail(make_loop):
    seen, data = {}, Digits(batch_size=32, imbalance=0.1)
    records = make_loop("a", seen=seen, data=data).run()
    cut = set((data.labeled_at == -2).nonzero()[:, 0].tolist())
    assert len(cut) > 700
    for record in records[:-1]:
        assert len(seen[record.round, "pool"]) == 100
        assert not cut & set(seen[record.round, "pool"])


# ---------------------------------------------------------------- the option


@pytest.mark.parametrize("limit", [19, 1, 0, -5])
@pytest.mark.parametrize("strategy", [MSALD(), Random()], ids=lambda strategy: strategy.name)
def test_a_limit_below_the_query_is_refused(make_loop, tmp_path, limit, strategy):
    with pytest.raises(UserError, match=rf"loop\.pool_limit to be at least loop\.query_size \(20\), got {limit}:"):
        make_loop("a", strategy, pool_limit=limit)
    assert not (tmp_path / "a").exists()


def test_a_run_with_another_limit_is_another_run(make_loop, tmp_path):
    make_loop("a", pool_limit=100).run()
    (tmp_path / "a" / "rounds" / "002.json").unlink()
    (tmp_path / "a" / "rounds" / "003.json").unlink()
    for limit in (200, None):
        with pytest.raises(UserError, match="pool_limit"):
            make_loop("a", pool_limit=limit).run()


TINY = ["fit", "--config", "digits", "--trainer.max_epochs", "1", "--trainer.accelerator", "cpu"]
TINY += ["--loop.query_budget", "40", "--model.backbone.width", "2"]


def test_a_limit_from_the_command_line(tmp_path, capsys):
    command = [*TINY, "--run_dir", str(tmp_path / "run")]
    for value, message in (("39", r"loop\.pool_limit to be at least loop\.query_size"), ("x", r"loop\.pool_limit")):
        assert main([*command, "--loop.pool_limit", value]) == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        assert re.search(message, err), err
    assert main([*command, "--loop.pool_limit", "60"]) == 0
    assert [record.num_scored for record in read_records(tmp_path / "run")] == [60, 0]
    assert main([*command, "--loop.pool_limit", "70"]) == 2
    assert "loop.pool_limit was 60, now 70" in capsys.readouterr().err
