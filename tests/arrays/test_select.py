"""Selection from arrays: what a loop would select, what naive formulas say, and what it refuses."""

import numpy as np
import pytest
import torch

from msal_lightning import MSALClassifier, Query, select
from msal_lightning.arrays import select as module
from msal_lightning.arrays.named_strategy import strategy_names
from msal_lightning.arrays.rows import ArrayRows
from msal_lightning.datasets import Digits
from msal_lightning.errors import UserError
from msal_lightning.models.backbones import SmallCNN
from msal_lightning.models.prototypes import simplex_prototypes
from msal_lightning.strategies import (
    BALD,
    CEAL,
    MSAL,
    MSALD,
    BatchBALD,
    Entropy,
    KCenter,
    Margin,
    shared,
)
from msal_lightning.training.lightning_noise import quiet_lightning

ARGUMENTS = {"embeddings": "features", "logits": "logits", "mc_logits": "mc_logits"}
COMPOSITES = [MSALD(BALD(4)), MSALD(Margin()), CEAL(MSAL()), Entropy(mc_samples=3), BatchBALD(6, beta=2)]


@pytest.fixture(scope="module")
def data():
    data = Digits(eval_batch_size=400)
    data.setup()
    data.reset(0)
    data.draw_initial(40)
    return data


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return MSALClassifier(10, 1, lambda channels: SmallCNN(channels, width=4))


def in_a_loop(make_trainer, model, data, strategy, n):
    """The selection of a pool pass, and the outputs of the pass as arrays."""
    query = Query(strategy, n, seed=3, round=2, receive=lambda *_: None)
    with quiet_lightning():
        parts = make_trainer(callbacks=[query]).predict(model, datamodule=data)
    outputs = [batch for part in parts for batch in (part if isinstance(part, list) else [part])]
    index = torch.cat([batch["index"] for batch in outputs])
    arrays = {}
    for name in strategy.needs:
        axis = 1 if name == "mc_logits" else 0
        values = torch.cat([batch[name] for batch in outputs], dim=axis)
        shape = list(values.shape)
        shape[axis] = len(data.labeled_at)
        arrays[ARGUMENTS[name]] = torch.zeros(shape).index_copy_(axis, index, values).numpy()
    return query.selection.index.tolist(), arrays


@pytest.mark.parametrize("strategy", [*strategy_names(), *COMPOSITES], ids=lambda s: getattr(s, "name", s))
def test_selects_what_a_loop_selects(make_trainer, model, data, strategy):
    chosen = module.as_strategy(strategy)
    data.groups = torch.arange(len(data.labeled_at)) // 5
    if chosen.needs:
        expected, arrays = in_a_loop(make_trainer, model, data, chosen, 25)
    else:
        query = Query(chosen, 25, seed=3, round=2, receive=lambda *_: None)
        query.select_without_pass(data)
        expected, arrays = query.selection.index.tolist(), {"features": np.zeros((len(data.labeled_at), 1))}
    known = {"labels": data.labels[data.labeled].numpy(), "num_classes": 10, "head": model.head, "groups": data.groups}
    found = select(strategy, n=25, **arrays, labeled=data.labeled.numpy(), **known, seed=3, round=2)
    assert found.dtype == np.int64
    assert found.tolist() == expected


def make_arrays(num_rows=300, num_classes=4, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((num_rows, 8))
    logits = x[:, : num_classes - 1] @ simplex_prototypes(num_classes).numpy()
    passes = logits + 0.5 * rng.standard_normal((5, num_rows, num_classes))
    return {"features": x, "logits": logits, "mc_logits": passes}


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def test_entropy_of_logits_and_of_probabilities_is_the_formula():
    p = softmax(make_arrays()["logits"])
    entropy = -(p * np.log(p)).sum(axis=1)
    entropy[:50] = -1
    expected = np.argsort(-entropy)[:20].tolist()
    labeled = np.arange(300) < 50
    assert select("Entropy", n=20, logits=make_arrays()["logits"], labeled=labeled).tolist() == expected
    assert select("Entropy", n=20, probabilities=p, labeled=labeled).tolist() == expected
    sure = np.eye(4)[np.arange(300) % 4]
    sure[7] = [0.5, 0.5, 0, 0]
    assert select("Entropy", n=1, probabilities=sure).tolist() == [7]


def test_msal_is_the_smallest_angle():
    x = make_arrays()["features"][:, :3]
    prototypes = simplex_prototypes(4).numpy()
    cosine = (x / np.linalg.norm(x, axis=1, keepdims=True)) @ prototypes
    expected = np.argsort(cosine.max(axis=1))[:20].tolist()
    assert select("MSAL", n=20, logits=5 * x @ prototypes).tolist() == expected


def test_kcenter_is_the_greedy_search():
    x = make_arrays()["features"]
    labeled = [3, 150, 299]
    distance = np.linalg.norm(x[:, None] - x[labeled], axis=2).min(axis=1)
    expected = []
    for _ in range(30):
        expected.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(x - x[expected[-1]], axis=1))
    assert select(KCenter, n=30, features=x, labeled=labeled).tolist() == expected


def test_variation_ratio_counts_votes_of_passes_of_probabilities():
    passes = make_arrays()["mc_logits"]
    votes = passes.argmax(axis=2)
    ratio = np.array([1 - np.bincount(column).max() / 5 for column in votes.T])
    expected = np.argsort(-ratio, kind="stable")[:20].tolist()
    assert select("VariationRatio", n=20, mc_logits=passes).tolist() == expected
    assert select("VariationRatio", n=20, probabilities=softmax(passes)).tolist() == expected


def test_more_passes_than_combinations_of_labels():
    passes = np.tile(make_arrays(num_rows=20)["mc_logits"], (3, 1, 1))
    assert sorted(select(BatchBALD(2, configurations=8), n=20, mc_logits=passes).tolist()) == list(range(20))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("name", ["Entropy", "MSALD", "DBAL", "KCenter", "BADGE", "BALD"])
def test_files_are_read_in_blocks(tmp_path, monkeypatch, name, dtype):
    arrays = {key: values.astype(dtype) for key, values in make_arrays(3000).items()}
    labeled = np.arange(0, 3000, 7)
    expected = select(name, n=20, **{k: v.astype("float32") for k, v in arrays.items()}, labeled=labeled, seed=1)
    for key, values in arrays.items():
        np.save(tmp_path / f"{key}.npy", values)
    mapped = {key: np.load(tmp_path / f"{key}.npy", mmap_mode="r") for key in arrays}
    sizes = []
    at = ArrayRows.at
    monkeypatch.setattr(ArrayRows, "at", lambda self, rows: sizes.append(len(rows)) or at(self, rows))
    monkeypatch.setattr(module, "_BLOCK_BYTES", 2000)
    monkeypatch.setattr(shared.distances, "_BLOCK", 20000)
    monkeypatch.setattr(shared.farthest_first, "_SAMPLE", 500)
    assert select(name, n=20, **mapped, labeled=labeled, seed=1).tolist() == expected.tolist()
    assert max(sizes) < 600  # about the 512 rows that farthest first and k-means++ look at together


def test_tensors_give_a_tensor_on_their_device():
    x = make_arrays()["features"]
    expected = select("KCenter", n=20, features=x.astype("float32"), labeled=[1, 2])
    tensor = torch.tensor(x, dtype=torch.float32, requires_grad=True)
    for labeled in ([1, 2], torch.tensor([2, 1]), torch.arange(300).sub(1.5).abs() < 1):
        found = select("KCenter", n=20, features=tensor, labeled=labeled)
        assert isinstance(found, torch.Tensor)
        assert found.tolist() == expected.tolist()
    assert select("Margin", n=5, logits=torch.randn(9, 3, dtype=torch.bfloat16)).dtype == torch.int64
    assert isinstance(select("Random", n=5, labeled=torch.zeros(9, dtype=torch.bool)), torch.Tensor)
    assert select("Random", n=5, labeled=np.zeros(9, dtype=bool)).dtype == np.int64


def test_rows_are_drawn_by_seed_and_round():
    x = make_arrays()["features"]
    draw = {
        (seed, round): tuple(select("Random", n=9, features=x, seed=seed, round=round))
        for seed in (0, 1)
        for round in (0, 1)
    }
    assert len({*draw.values()}) == 4
    state = torch.get_rng_state()
    assert tuple(select("Random", n=9, features=x)) == draw[0, 0]
    assert torch.equal(torch.get_rng_state(), state)


class OfTheRarestClass(KCenter):
    """The rows nearest to a labeled row of the class with fewest labels."""

    needs_labels = True

    def select(self, shortlist, labeled, n, generator):
        counts = torch.bincount(labeled.require("labels"), minlength=shortlist.require_num_classes())
        rare = labeled.require("embeddings")[labeled.labels == counts.argmin()]
        return torch.cdist(shortlist.embeddings[:], rare).amin(dim=1).argsort()[:n]


def test_labels_of_the_labeled_rows_in_any_order():
    x = make_arrays()["features"]
    rows, classes = np.array([290, 3, 150, 7, 20]), np.array([1, 0, 2, 1, 0])  # one of class 2: row 150
    pool = np.setdiff1d(np.arange(300), rows)
    expected = pool[np.linalg.norm(x[pool] - x[150], axis=1).argsort()[:9]].tolist()
    mask = np.isin(np.arange(300), rows)
    for labeled, labels in ((rows, classes), (mask, classes[rows.argsort()]), (torch.tensor(rows), classes.tolist())):
        found = select(OfTheRarestClass, n=9, features=x, labeled=labeled, labels=labels, num_classes=3)
        assert found.tolist() == expected


def test_the_number_of_classes_is_given_or_that_of_the_logits():
    arrays = make_arrays()
    x, logits = arrays["features"], arrays["logits"]
    found = select("ProbCover", n=9, features=x, num_classes=4).tolist()
    assert select("ProbCover", n=9, features=x, logits=logits).tolist() == found
    assert select("ProbCover", n=9, features=x, num_classes=2).tolist() != found


A = make_arrays()
LABELED = {"features": A["features"], "labeled": [5, 2]}
NAN = A["features"].copy()
NAN[[5, 9, 20]] = [[np.nan], [np.inf], [1e300]]


@pytest.mark.parametrize(
    ("strategy", "arguments", "message"),
    [
        ("Entropi", {}, "got 'Entropi': did you mean Entropy?"),
        (3, {}, "got 3: ALFAMix, BADGE"),
        ("Uncertainty", {}, "got 'Uncertainty'"),
        ("KCenter", {"logits": A["logits"]}, "expected features, (N, D), for KCenter, got logits: pass them"),
        ("Margin", {"features": A["features"]}, "expected logits or probabilities, (N, C), for Margin, got features"),
        ("BALD", {"logits": A["logits"]}, "(T, N, C), for BALD, got logits: pass them, for example **head.outputs("),
        ("MSALD", {"probabilities": softmax(A["logits"])}, "expected logits of a prototype head, (N, C), for MSALD"),
        ("MSAL", {"logits": A["logits"] + 1}, "add up to 0 in each row, in logits, got others in row 0, 1, 2, 3, 4"),
        ("MSAL", {"logits": np.array([[1, -1.0]] * 30)}, "needs at least 3 classes, got 2"),
        ("BALD", {"mc_logits": A["logits"][None]}, "expected mc_logits of at least two passes"),
        ("Margin", {"logits": A["logits"][:, 0]}, "real numbers, (N, C), got float64 (300,)"),
        ("Margin", {"logits": A["logits"][:, :1]}, "expected logits of at least two classes"),
        ("Margin", {"logits": A["logits"] + 0j}, "real numbers, (N, C), got complex128 (300, 4)"),
        ("Margin", {"logits": A["logits"], "probabilities": softmax(A["logits"])}, "got both: leave one out"),
        ("Margin", {"probabilities": A["logits"]}, "expected probabilities, which are at least 0 and add up to 1,"),
        ("Margin", {"logits": A["logits"], "features": A["features"][:-1]}, "got features 299, logits 300"),
        ("Margin", {"logits": A["logits"], "labeled": np.zeros(9, dtype=bool)}, "got logits 300, labeled 9"),
        ("Margin", {"logits": A["logits"], "labeled": [300]}, "from 0 to 299, got 300 to 300"),
        ("Margin", {"logits": A["logits"], "labeled": [-1]}, "from 0 to 299, got -1 to -1"),
        ("Margin", {"logits": A["logits"], "labeled": [0, 1, 1]}, "got 1 repeated: a mask must be of type bool"),
        ("Margin", {"logits": A["logits"], "labeled": [0.5]}, "got float64 (1,)"),
        ("Margin", {"logits": A["logits"], "labeled": range(291)}, "from 1 to 9, the number of rows without a label"),
        ("Margin", {"logits": A["logits"], "n": 0}, "got 0"),
        ("Margin", {"logits": A["logits"], "n": 2.5}, "got 2.5"),
        ("KCenter", {"features": NAN}, "in features, got NaN or infinity in row 5, 9, 20 (counted from 0): remove"),
        ("ProbCover", LABELED, "expected num_classes, the number of classes, got none: pass num_classes=10"),
        ("ProbCover", {**LABELED, "num_classes": 1}, "a whole number of at least 2, got 1"),
        ("ProbCover", {**LABELED, "logits": A["logits"], "num_classes": 3}, "the 4 columns of logits, got 3"),
        (OfTheRarestClass, LABELED, "labels of the 2 labeled rows for OfTheRarestClass, got none: pass labels=y[lab"),
        (OfTheRarestClass, {**LABELED, "labels": [0]}, "2 whole numbers, one for each labeled row, got int64 (1,)"),
        (OfTheRarestClass, {**LABELED, "labels": ["a", "b"]}, "got <U1 (2,): np.unique("),
        (OfTheRarestClass, {**LABELED, "labels": [0, 3], "num_classes": 3}, "labels from 0 to 2, got 0 to 3"),
        (OfTheRarestClass, {**LABELED, "labels": [0, -1]}, "expected labels of at least 0, got -1"),
        ("Random", {"labeled": [1]}, "to know the rows of the pool, got none"),
    ],
)  # fmt: skip
def test_refuses(strategy, arguments, message):
    with pytest.raises(UserError) as error:
        select(strategy, **{"n": 10, **arguments})
    assert message in str(error.value)


@pytest.mark.parametrize("dtype", ["u1", "i8", "?", ">f4", "u2"])
def test_numbers_of_any_type(dtype):
    x = (10 * np.abs(A["features"])).astype(dtype)
    expected = select("KCenter", n=5, features=x.astype("f4"))
    assert select("KCenter", n=5, features=x).tolist() == expected.tolist()
    assert select("KCenter", n=5, features=x.tolist()).tolist() == expected.tolist()


def test_what_is_not_read_may_be_anything():
    labeled = [5, 9, 20]
    assert len(select("Entropy", n=5, logits=A["logits"], features=NAN)) == 5
    assert len(select("BADGE", n=5, logits=A["logits"], features=NAN, labeled=labeled)) == 5
    assert len(select("Entropy", n=5, logits=A["logits"], labeled=[])) == 5


def test_a_strategy_that_needs_the_head_is_given_it_or_refused():
    x = np.random.default_rng(0).standard_normal((40, 3)).astype(np.float32)
    arrays = {"features": x, "labeled": np.arange(6), "labels": [0, 1, 2, 0, 1, 2], "n": 5}
    layer = torch.nn.Linear(3, 3)
    assert len(set(select("ALFAMix", **arrays, head=layer).tolist()) - set(range(6))) == 5
    with pytest.raises(UserError, match="expected head, the layer from features to logits, for ALFAMix, got None"):
        select("ALFAMix", **arrays)
    with pytest.raises(UserError, match="expected a head that is affine"):
        select("ALFAMix", **arrays, head=lambda features: layer(features) ** 2)
