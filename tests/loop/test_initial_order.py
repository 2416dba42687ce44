"""The initial set by a strategy, against a hand-made choice on the same numbers."""

import csv

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from msal_lightning import LoopOptions, Strategy, select
from msal_lightning.cli.main import main
from msal_lightning.datasets import Digits, Embeddings
from msal_lightning.errors import ConfigError
from msal_lightning.loop.initial_order import initial_order
from msal_lightning.runs.records import read_records
from msal_lightning.strategies import Entropy, KCenter, KMeans, ProbCover, Random, TypiClust
from msal_lightning.training.distributed import Ranks

X, Y = load_digits(return_X_y=True)
X = X.astype(np.float32)


class Longest(Strategy):
    """The rows of the largest length."""

    needs = frozenset({"embeddings"})

    def shortlist_size(self, n):
        return None

    def select(self, shortlist, labeled, n, generator):
        return shortlist.require("embeddings").norm(dim=1).argsort(descending=True, stable=True)[:n]


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "features"
    folder.mkdir()
    np.save(folder / "features.npy", X)
    np.save(folder / "labels.npy", Y)
    return folder


def ready(data, seed=0):
    data.setup()
    data.reset(seed)
    return data


def order_of(data, strategy, size=20, **options):
    return initial_order(data, LoopOptions(size, initial=strategy, **options), size, Ranks())


def longest(features, rows):
    scaled = (features[rows] - features[rows].mean(0)) / features[rows].std(0).clip(1e-9)
    return rows[np.argsort(-np.linalg.norm(scaled.astype(np.float64), axis=1), kind="stable")]


def test_a_strategy_chooses_by_standardized_features(root):
    data = ready(Embeddings(str(root)))
    order = order_of(data, Longest())
    rows = np.array(data.images.numbers(torch.arange(len(data.labels))))
    wanted = longest(X, rows)[:20]
    assert [data.images.numbers(order.index[:20]), order.chosen.tolist()] == [[*wanted], order.index[:20].tolist()]
    assert order.index.sort().values.tolist() == data.pool.tolist()
    uniform = data.initial_order()
    assert torch.equal(order.index[20:], uniform[~torch.isin(uniform, order.chosen)])  # what replaces skipped images


@pytest.mark.parametrize("strategy", [None, Random()])
def test_without_one_and_with_random_it_is_drawn_uniformly(root, strategy):
    data = ready(Embeddings(str(root)))
    order = order_of(data, strategy)
    assert torch.equal(order.index, data.initial_order())
    assert not len(order.chosen)


@pytest.mark.parametrize("strategy", [TypiClust(), KCenter(), KMeans()], ids=lambda s: s.name)
def test_those_without_a_model_cover_more_classes_than_a_draw_in_the_mean(root, strategy):
    data, covered = Embeddings(str(root)), {strategy: [], None: []}
    for seed in range(4):
        ready(data, seed)
        for chosen, counts in covered.items():
            index = order_of(data, chosen, 10).index[:10]
            counts.append(len(data.hidden_labels.all()[index].unique()))
    assert sum(covered[strategy]) > sum(covered[None])


def test_where_all_images_are_labeled_nothing_is_chosen(root):
    data = ready(Embeddings(str(root)))
    assert not len(order_of(data, KMeans(), data.num_pool).chosen)


def test_held_out_labels_stay_a_random_sample(root):
    data = ready(Embeddings(str(root)))
    order, uniform = order_of(data, Longest(), held_out=8), data.initial_order()
    assert torch.equal(order.index[:8], uniform[:8])
    assert order.chosen.tolist() == order.index[8:20].tolist()
    assert order.held_out_first(order.index[:20].flip(0))[:8].tolist() == uniform[:8].flip(0).tolist()


def test_images_take_the_features_of_a_folder_by_their_number(root, tmp_path):
    data = ready(Digits())
    pixels = data.images.flatten(1).float().numpy()
    folder = tmp_path / "of-digits"
    folder.mkdir()
    np.save(folder / "features.npy", np.concatenate([pixels, np.full_like(pixels[:500], 1e4)]))  # test images follow
    order = order_of(data, Longest(), initial_features=str(folder))
    assert order.index[:20].tolist() == longest(pixels, np.arange(len(pixels)))[:20].tolist()
    np.save(folder / "features.npy", pixels[:-1])
    with pytest.raises(ConfigError, match=r"loop\.initial_features .* row for each of the 1,297 training images"):
        order_of(data, Longest(), initial_features=str(folder))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"initial": Entropy()}, r"loop\.initial .* got Entropy, which needs logits"),
        ({"initial": KCenter()}, r"loop\.initial_features .* images of Digits, got none: run `embed`"),
    ],
)
def test_a_mistake_is_one_sentence(options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        initial_order(ready(Digits()), LoopOptions(20, **options), 20, Ranks())
    with pytest.raises(ConfigError, match=r"loop\.initial to be a strategy that chooses by loop\.initial_features"):
        LoopOptions(20, initial_features="features")


def test_a_strategy_that_needs_the_number_of_classes_says_so(root):
    (root / "labels.npy").unlink()
    with pytest.raises(ConfigError, match=r"data\.classes with loop\.initial ProbCover"):
        order_of(ready(Embeddings(str(root))), ProbCover())


def test_a_run_records_it_and_all_strategies_start_with_it(root, tmp_path):
    sizes = ["--loop.initial_size", "10", "--loop.query_size", "5", "--loop.query_budget", "5"]
    common = ["--config", "embeddings", "--data.root", str(root), *sizes, "--trainer.max_steps", "3"]
    initial = ["--loop.initial", "TypiClust", "--loop.initial.neighbours", "7"]
    found = {}
    for query in ("Random", "Margin"):
        run = tmp_path / query
        assert main(["fit", *common, *initial, "--query", query, "--run_dir", str(run)]) == 0
        assert "neighbours: 7" in (run / "config.yaml").read_text()
        found[query] = read_records(run)[0].initial.index
    assert found["Random"] == found["Margin"]
    data = ready(Embeddings(str(root)))
    assert found["Random"] == order_of(data, TypiClust(neighbours=7), 10).index[:10].tolist()
    assert main(["fit", *common, "--query", "Random", "--run_dir", str(tmp_path / "Random")]) == 2  # another run
    replay = ["replay", "--run", str(tmp_path / "Margin"), "--seed", "7"]
    assert main([*replay, "--run_dir", str(tmp_path / "again")]) == 0
    assert read_records(tmp_path / "again")[0].initial.index == found["Margin"]
    assert "TypiClust" not in (tmp_path / "again" / "config.yaml").read_text()  # the records have what it chose


def test_a_choice_by_paths_does_not_depend_on_the_order_of_the_rows(tmp_path, root):
    with (root / "labels.csv").open("w", newline="") as text:
        csv.writer(text).writerows([["path", "label"], *([f"{k}.png", y] for k, y in enumerate(Y))])
    data = ready(Embeddings(str(root)))
    order = order_of(data, Longest())
    shuffled, rows = tmp_path / "shuffled", np.random.default_rng(0).permutation(len(X))
    shuffled.mkdir()
    np.save(shuffled / "features.npy", X[rows])
    with (shuffled / "labels.csv").open("w", newline="") as text:
        csv.writer(text).writerows([["path", "label"], *([f"{k}.png", Y[k]] for k in rows)])
    again = order_of(data, Longest(), initial_features=str(shuffled))
    assert torch.equal(order.index, again.index)
    with (shuffled / "labels.csv").open("w", newline="") as text:
        csv.writer(text).writerows([["path", "label"], *([f"other{k}.png", Y[k]] for k in rows)])
    with pytest.raises(ConfigError, match=r"features of all 1,438 training images .* got none of"):
        order_of(data, Longest(), initial_features=str(shuffled))


def test_select_gives_the_same_as_a_first_choice_without_labels(root):
    data = ready(Embeddings(str(root), standardize=False))
    rows = data.images.numbers(torch.arange(len(data.labels)))
    assert sorted(order_of(data, Longest()).chosen.tolist()) == sorted(select(Longest(), features=X[rows], n=20))
