"""Long-tailed versions of a dataset: how many images each class keeps, which ones, and that the rest is never seen."""

import io
import math
import re
from bisect import bisect_right
from fractions import Fraction

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lightning.pytorch import Trainer

from msal_lightning import ActiveLoop, LoopOptions, MSALClassifier, RunDirectory
from msal_lightning.cli.main import main
from msal_lightning.data import ActiveDataModule, HiddenLabels, ImageSet
from msal_lightning.data.label_guard import LabelAccessError, forbid_label_access
from msal_lightning.data.labels import UNKNOWN, long_tail_sizes
from msal_lightning.data.places import Place
from msal_lightning.datasets import Digits, FashionMNIST
from msal_lightning.errors import UserError
from msal_lightning.models.backbones import SmallCNN
from msal_lightning.runs.records import read_records
from msal_lightning.seeding import stream
from msal_lightning.strategies import CEAL, MSAL, MSALD, Entropy, KCenter, Random

TRUTH = Digits().load()[0].label


def exact_sizes(num_classes, largest, imbalance):
    """The largest whole n with n <= largest · imbalance^(c/(C-1)) for each class c, in whole numbers only."""
    last, (p, q) = num_classes - 1, Fraction(imbalance).as_integer_ratio()
    bounds = [largest**last * p**c for c in range(num_classes)]
    return [
        bisect_right(range(1, largest + 1), bounds[c], key=lambda n, c=c: n**last * q**c) for c in range(num_classes)
    ]


TENTH = Fraction(1, 10)
# of the digits: 132 · 0.1^(c/9), but class 0 has only 128
KEPT = [128, *exact_sizes(10, 132, TENTH)[1:]]

# ---------------------------------------------------------------- how many

CIFAR10 = {
    10: [5000, 3871, 2997, 2320, 1796, 1391, 1077, 834, 645, 500],
    100: [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50],
}


@pytest.mark.parametrize(
    ("num_classes", "largest", "one_in", "total"),
    [(10, 5000, 10, 20431), (10, 5000, 100, 12406), (100, 500, 10, 19573), (100, 500, 100, 10847)],
)
def test_sizes_of_table_5(num_classes, largest, one_in, total):
    sizes = long_tail_sizes(num_classes, largest, 1 / one_in)
    assert sizes == exact_sizes(num_classes, largest, Fraction(1, one_in))
    assert sum(sizes) == total
    if num_classes == 10:
        assert sizes == CIFAR10[one_in]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    counts=st.lists(st.integers(0, 120), min_size=2, max_size=30).filter(any),
    percent=st.integers(1, 100),
    seed=st.integers(0, 9),
)
@example(counts=[100, 100], percent=29, seed=0)  # as a float, 100 · 0.29 is 28.999999999999996
@example(counts=[5000] * 10, percent=57, seed=0)  # 2849.9999999999995
@example(counts=[1] * 30, percent=100, seed=0)
@example(counts=[0, 7, 120], percent=1, seed=0)  # the first class need not be the largest, or have any image
def test_each_class_keeps_its_share_of_the_largest_or_all(counts, percent, seed):
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    labels = labels[torch.randperm(len(labels), generator=stream(seed, "split"))]
    kept = HiddenLabels(labels).long_tail(percent / 100, len(counts), stream(seed, "split", 1))
    shares = exact_sizes(len(counts), max(counts), Fraction(percent, 100))
    sizes = torch.bincount(labels[kept], minlength=len(counts)).tolist()
    assert sizes == [min(share, count) for share, count in zip(shares, counts, strict=True)]


def test_one_class_keeps_all():
    assert long_tail_sizes(1, 7, 0.1) == [7]


def test_imbalance_1_keeps_everything():
    data = ready(imbalance=1.0)
    assert data.pool.tolist() == list(range(1297))


# ---------------------------------------------------------------- which


def ready(seed=0, initial=0, **settings):
    data = Digits(**{"imbalance": 0.1, **settings})
    data.setup()
    data.reset(seed)
    if initial:
        data.draw_initial(initial)
    return data


def kept_by(data):
    return (data.labeled_at != Place.LEFT_OUT).nonzero()[:, 0].tolist()


def test_rows_are_drawn_from_the_seed_alone():
    first = kept_by(ready(seed=3))
    torch.manual_seed(99)
    used = ready(seed=5, initial=40)
    used.enter(round=4)
    used.label(used.pool[:9])
    used.reset(3)
    assert first == kept_by(used) == kept_by(ready(seed=3, initial=40, batch_size=7, eval_batch_size=3))
    assert first != kept_by(ready(seed=4))
    again = ready(seed=4)
    again.reset(3)
    assert first == kept_by(again)


def test_drawing_leaves_the_global_stream_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    ready(initial=40)
    assert torch.equal(torch.rand(3), expected)


def test_each_row_of_a_class_is_as_likely_as_another():
    labels, runs = torch.arange(400) % 4, 300  # 100 rows a class, of which 100, 46, 21 and 10 are kept
    oracle, counts = HiddenLabels(labels), torch.zeros(400)
    for seed in range(runs):
        counts += oracle.long_tail(0.1, 4, stream(seed, "split", 1))
    for c, n in enumerate([100, 46, 21, 10]):
        expected = runs * n / 100
        of_class = counts[labels == c]
        assert of_class.sum() == runs * n
        spread = math.sqrt(expected * (1 - n / 100))
        assert (of_class - expected).abs().max() <= 5 * spread


def test_classes_are_drawn_apart():
    kept = HiddenLabels(torch.arange(400) % 4).long_tail(0.25, 4, stream(0, "split", 1)).view(100, 4)
    places = [kept[:, c].nonzero()[:, 0].tolist() for c in range(1, 4)]
    assert places[1] != places[0][: len(places[1])]
    assert not set(places[2]) <= set(places[0])


def test_strategies_of_a_seed_share_the_rows_and_the_initial_set(make_loop):
    loops = {name: make_loop(name, strategy) for name, strategy in (("a", MSALD()), ("b", Random()), ("c", KCenter()))}
    records = {name: loop.run() for name, loop in loops.items()}
    assert len({tuple(kept_by(loop.data)) for loop in loops.values()}) == 1
    assert len({tuple(r[0].initial.index) for r in records.values()}) == 1
    other = make_loop("d", Random(), seed=1)
    assert kept_by(other.data) != kept_by(loops["a"].data)


def test_the_test_set_stays_whole():
    whole, tailed = ready(imbalance=None), ready(imbalance=0.01)
    assert torch.equal(whole.test.image, tailed.test.image)
    assert torch.equal(whole.test.label, tailed.test.label)
    assert sum(len(batch.index) for batch in tailed.test_dataloader()) == 500


def test_indices_stay_those_of_the_whole_dataset():
    whole, tailed = ready(imbalance=None), ready()
    assert torch.equal(whole.images, tailed.images)
    index = tailed.pool[::50]
    assert torch.equal(tailed.label(index), TRUTH[index])


def test_without_imbalance_the_initial_set_is_what_it_was():
    for seed in (0, 3):
        expected = torch.randperm(1297, generator=stream(seed, "split"))[:40]
        assert torch.equal(ready(seed, imbalance=None).draw_initial(40), expected)
        assert torch.equal(ready(seed, imbalance=1.0).draw_initial(40), expected)


def test_with_imbalance_the_initial_set_is_drawn_from_what_is_kept():
    data = ready(3)
    pool = data.pool
    expected = pool[torch.randperm(len(pool), generator=stream(3, "split"))[:40]]
    assert torch.equal(data.draw_initial(40), expected)
    assert data.labeled.tolist() == sorted(expected.tolist())


def test_the_oracle_does_not_count_what_is_cut():
    data = ready()
    assert data.hidden_labels.num_revealed == 0
    data.draw_initial(40)
    assert data.hidden_labels.num_revealed == 40


def test_a_strategy_cannot_ask_for_the_tail():
    oracle = ready().hidden_labels
    with forbid_label_access():
        with pytest.raises(LabelAccessError):
            oracle.long_tail(0.1, 10, torch.Generator())
        with pytest.raises(LabelAccessError):
            oracle.count_classes(torch.arange(9), 10)


# ---------------------------------------------------------------- the rest is never seen


def cut_of(data):
    return (data.labeled_at == Place.LEFT_OUT).nonzero()[:, 0]


def test_a_cut_row_is_nowhere():
    data = ready(initial=40)
    data.enter(predict_labeled=True)
    cut = set(cut_of(data).tolist())
    sizes = torch.bincount(TRUTH[kept_by(data)]).tolist()
    assert sizes == KEPT == [128, 102, 79, 61, 47, 36, 28, 22, 17, 13]
    assert len(cut) == 1297 - sum(sizes)
    assert Place.LEFT_OUT == -2
    for index in (data.pool, data.scored, data.labeled):
        assert not cut & set(index.tolist())
    assert set(data.pool.tolist()) | set(data.labeled.tolist()) | cut == set(range(1297))
    assert (data.labels[cut_of(data)] == UNKNOWN).all()
    data.enter(pool_limit=50)
    assert not cut & set(data.scored.tolist())
    data.enter(pool_limit=None)
    seen = [batch.index for loader in (data.train_dataloader(), *data.predict_dataloader()) for batch in loader]
    assert not cut & set(torch.cat(seen).tolist())


def test_a_cut_row_cannot_be_moved():
    data = ready(initial=40)
    cut, before = cut_of(data)[:1], data.labeled_at.clone()
    index = torch.cat([data.pool[:2], cut])
    labels = torch.zeros(3, dtype=torch.int64)
    for move in (
        lambda: data.label(index),
        lambda: data.split.restore(index, labels, 1),
        lambda: data.split.set_pseudo_labels(index, labels),
    ):
        with pytest.raises(ValueError, match=rf"1 images that are not in the pool, index {int(cut)} first"):
            move()
    assert torch.equal(data.labeled_at, before)
    assert data.hidden_labels.num_revealed == 40


def test_more_than_is_kept_cannot_be_drawn():
    data = ready()
    kept = len(kept_by(data))
    with pytest.raises(ValueError, match=f"of {kept} images"):
        data.draw_initial(kept + 1)
    assert len(data.draw_initial(kept)) == kept
    assert len(data.pool) == 0


def test_another_reset_brings_cut_rows_back():
    data = ready()
    data.imbalance = None
    data.reset(0)
    assert len(data.pool) == 1297


def through_a_file(content):
    file = io.BytesIO()
    torch.save(content, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("imbalance", [0.1, None])
def test_state_survives_a_checkpoint(imbalance):
    data = ready(seed=6, initial=40)
    data.enter(round=3)
    data.label(data.pool[[1, 50, 100]])
    other = Digits(imbalance=imbalance)  # the split is the checkpoint's
    other.load_state_dict(through_a_file(data.state_dict()))
    assert torch.equal(other.labeled_at, data.labeled_at)
    assert torch.equal(other.labels, data.labels)
    assert torch.equal(other.pool, data.pool)
    assert torch.equal(other.scored, data.scored)
    assert kept_by(other) == kept_by(data)
    assert other.hidden_labels.num_revealed == data.hidden_labels.num_revealed == 43


# ---------------------------------------------------------------- in a loop


@pytest.fixture
def make_loop(tmp_path):
    """A loop of three rounds (40, 80, 105 labels) on a long tail of the digits."""

    def make(name, strategy=None, *, seed=0, imbalance=0.1, model=MSALClassifier, data=None, **options):
        sizes = {"initial_size": 40, "query_size": 40, "query_budget": 65} | options
        data = data or Digits(batch_size=32, imbalance=imbalance)
        return ActiveLoop(
            lambda: model(data.num_classes, 1, lambda channels: SmallCNN(channels, width=2)),
            lambda **settings: Trainer(max_epochs=1, accelerator="cpu", devices=1, **settings),
            data,
            strategy or MSALD(),
            RunDirectory(tmp_path / name),
            LoopOptions(seed=seed, **sizes),
        )

    return make


@pytest.mark.parametrize(
    "strategy", [MSALD(), Random(), KCenter(), CEAL(MSAL(), threshold=0.5)], ids=lambda strategy: strategy.name
)
def test_a_loop_never_sees_a_cut_row(make_loop, strategy):
    seen = []

    class Witness(MSALClassifier):
        def training_step(self, batch, batch_idx):
            seen.append(batch.index)
            return super().training_step(batch, batch_idx)

        def predict_step(self, batch, batch_idx, *args):
            seen.append(batch.index)
            return super().predict_step(batch, batch_idx, *args)

    loop = make_loop("a", strategy, model=Witness, pool_error=True)
    records = loop.run()
    cut = set(cut_of(loop.data).tolist())
    kept = 1297 - len(cut)
    assert set(torch.cat(seen).tolist()) == set(kept_by(loop.data))
    for record in records:
        assert not cut & {*record.queried.index, *record.initial.index}
        assert record.num_labeled + record.num_pool == kept
        if record.pseudo_labels:
            assert not cut & set(record.pseudo_labels.index)


def test_the_first_record_counts_the_classes_to_learn_from(make_loop, tmp_path):
    loop = make_loop("a")
    records = loop.run()
    expected = torch.bincount(TRUTH[kept_by(loop.data)], minlength=10).tolist()
    assert expected == KEPT
    assert [record.train_class_counts for record in records] == [expected, None, None]
    assert [record.train_class_counts for record in read_records(tmp_path / "a")] == [expected, None, None]
    whole = make_loop("b", imbalance=None).run()
    assert whole[0].train_class_counts == torch.bincount(TRUTH).tolist()


def test_the_title_says_how_many_of_each_class(make_loop, capsys):
    loop = make_loop("a")
    loop.run()
    out = capsys.readouterr().out
    assert f"{sum(KEPT)} training images\nlong tail 0.1: {' '.join(map(str, KEPT))} images per class\n" in out
    assert out.count("long tail") == 1
    make_loop("b", imbalance=None).run()
    out = capsys.readouterr().out
    assert "long tail" not in out
    assert "1,297 training images" in out


class Hundred(ActiveDataModule):
    """A hundred classes, fifty images each."""

    mean = (0.5,)
    std = (0.25,)
    class_names = tuple(map(str, range(100)))

    def load(self):
        label = torch.arange(5000) % 100
        learn = ImageSet((label % 256).to(torch.uint8)[:, None, None, None].expand(-1, 1, 8, 8).contiguous(), label)
        return learn, ImageSet(learn.image[:100], label[:100])


def test_the_title_of_many_classes_shows_both_ends(make_loop, capsys):
    make_loop("a", Random(), data=Hundred(imbalance=0.1), query_budget=0).run()
    sizes = exact_sizes(100, 50, TENTH)
    shown = " ".join(map(str, sizes[:6])) + " … " + " ".join(map(str, sizes[-6:]))
    out = capsys.readouterr().out
    assert f"long tail 0.1: {shown} images per class\n" in out
    assert f"{sum(sizes):,} training images" in out


def test_sizes_are_checked_against_what_is_kept(make_loop):
    kept = sum(KEPT)
    with pytest.raises(UserError, match=rf"loop\.initial_size to be 1 to {kept}"):
        make_loop("a", initial_size=kept + 1)
    with pytest.raises(UserError, match=rf"loop\.query_budget to be 0 to {kept - 40}"):
        make_loop("a", query_budget=kept - 39)
    (record,) = make_loop("full", initial_size="all").run()
    assert (record.num_labeled, record.num_pool) == (kept, 0)
    records = make_loop("rest", Entropy(), query_size=kept, query_budget=kept - 40).run()
    assert [record.num_pool for record in records] == [kept - 40, 0]


def test_a_run_with_another_imbalance_is_another_run(make_loop, tmp_path):
    make_loop("a", Random()).run()
    (tmp_path / "a" / "rounds" / "002.json").unlink()
    for imbalance in (0.5, None):
        with pytest.raises(UserError, match="imbalance"):
            make_loop("a", Random(), imbalance=imbalance).run()


# ---------------------------------------------------------------- the option


@pytest.mark.parametrize("imbalance", [0, -0.1, 1.5, 100, float("nan"), float("inf")])
def test_imbalance_out_of_range_is_refused(imbalance):
    with pytest.raises(UserError, match=r"data\.imbalance to be above 0 and at most 1, got"):
        Digits(imbalance=imbalance)


TINY = ["fit", "--config", "digits", "--trainer.max_epochs", "1", "--trainer.accelerator", "cpu"]
TINY += ["--loop.query_budget", "40", "--model.backbone.width", "2"]


def test_a_long_tail_from_the_command_line(tmp_path, capsys):
    command = [*TINY, "--run_dir", str(tmp_path / "run")]
    assert main([*command, "--data.imbalance", "0.1"]) == 0
    assert "long tail 0.1: 128 102 " in capsys.readouterr().out
    assert sum(read_records(tmp_path / "run")[0].train_class_counts) == sum(KEPT)
    assert main([*command, "--data.imbalance", "0.5"]) == 2
    assert "data.init_args.imbalance was 0.1, now 0.5" in capsys.readouterr().err
    for value in ("0", "2", "x"):
        assert main([*command, "--data.imbalance", value]) == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        assert re.search(r"data\.imbalance", err), err


def test_other_datasets_have_it_too(idx_root):
    data = FashionMNIST(root=str(idx_root(n_train=200, n_test=20)), imbalance=0.1)
    data.setup()
    data.reset(0)
    assert data.hidden_labels.count_classes(data.pool, 10) == exact_sizes(10, 20, TENTH)
