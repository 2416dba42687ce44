"""The scikit-learn classifier: scikit-learn's own checks, the model's numbers, and a fit that touches nothing else."""

import random

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.utils.estimator_checks import parametrize_with_checks

from msal_lightning import MSALHeadClassifier, select, simplex_prototypes
from msal_lightning.arrays import head_classifier
from msal_lightning.errors import UserError

QUICK = {"max_steps": 60}  # instead of 300
X, Y = load_digits(return_X_y=True)


@parametrize_with_checks([MSALHeadClassifier(**QUICK), MSALHeadClassifier("linear", hidden=(16,), **QUICK)])
def test_passes_the_checks_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def fitted():
    return MSALHeadClassifier().fit(X[:400], Y[:400])


def by_hand(head, x):
    """The formula of the head, in float64."""
    std = X[:400].std(axis=0)
    x = (x - X[:400].mean(axis=0)) / np.where(std == 0, 1, std)
    weight, bias = (parameter.detach().double().numpy() for parameter in head.network_.head.parameters())
    return x, (x @ weight.T + bias) @ simplex_prototypes(10).numpy()


def test_gives_the_numbers_of_standardized_features_below_fixed_prototypes(fitted):
    x, logits = by_hand(fitted, X[400:])
    found = fitted.outputs(X[400:])
    np.testing.assert_allclose(found["features"], x, atol=1e-4)
    np.testing.assert_allclose(found["logits"], logits, atol=1e-3)
    powers = np.exp(logits)
    np.testing.assert_allclose(fitted.predict_proba(X[400:]), powers / powers.sum(axis=1, keepdims=True), atol=1e-4)
    assert fitted.score(X[400:], Y[400:]) > 0.85
    assert {np.asarray(values).dtype for values in found.values()} == {np.dtype("float32")}


def test_blocks_and_files_of_half_precision_change_nothing(fitted, tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", X.astype("float16"))  # whole numbers
    expected = fitted.outputs(X, mc_samples=2)
    monkeypatch.setattr(head_classifier, "_BLOCK", 100)
    found = fitted.outputs(np.load(tmp_path / "x.npy", mmap_mode="r"), mc_samples=2)
    assert expected["mc_logits"].shape == (2, len(X), 10)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-4)


@pytest.mark.parametrize("hidden", [(), (16,)])
@pytest.mark.parametrize("strategy", ["KCenter", "DBAL", "MSALD"])
def test_features_that_are_computed_when_read_give_the_same_picks(tmp_path, strategy, hidden):
    np.save(tmp_path / "x.npy", X.astype("float16"))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    head = MSALHeadClassifier(hidden=hidden, **QUICK).fit(X[:100], Y[:100])
    found = head.outputs(mapped)
    assert isinstance(found["features"], np.ndarray) == bool(hidden)
    as_arrays = {name: np.asarray(values) for name, values in found.items()}
    assert as_arrays["features"].shape == (len(X), *(hidden or (64,)))
    expected = select(strategy, n=20, **as_arrays, labeled=range(100))
    assert select(strategy, n=20, **found, labeled=range(100)).tolist() == expected.tolist()


def test_passes_differ_by_their_dropout_and_average_to_the_logits(fitted):
    found = fitted.outputs(X, mc_samples=200)
    assert np.abs(found["mc_logits"][0] - found["mc_logits"][1]).max() > 0.5
    error = found["mc_logits"].mean(axis=0) - found["logits"]
    assert np.abs(error).mean() < 3 * (found["mc_logits"].std(axis=0) / np.sqrt(200)).mean()
    assert len(select("BALD", **found, n=20)) == 20
    again, other = (fitted.outputs(X, mc_samples=2, seed=seed)["mc_logits"] for seed in (0, 1))
    np.testing.assert_array_equal(again, found["mc_logits"][:2])
    assert (other != again).any()
    same = np.tile(X[:1], (50, 1))
    shared = fitted.outputs(same, mc_samples=3, shared_masks=True)["mc_logits"]
    assert np.ptp(shared, axis=1).max() == 0
    assert np.ptp(fitted.outputs(same, mc_samples=3)["mc_logits"], axis=1).max() > 0.5
    assert "mc_logits" not in fitted.outputs(X)


def weights(head):
    return torch.cat([parameter.detach().flatten() for parameter in head.network_.parameters()])


def test_a_seed_decides_and_no_global_generator_is_used():
    torch.manual_seed(1)
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    first = weights(MSALHeadClassifier(random_state=5, **QUICK).fit(X, Y))
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert np.random.get_state()[1].tolist() == states[2]  # noqa: NPY002
    torch.manual_seed(2)
    assert torch.equal(weights(MSALHeadClassifier(random_state=5, **QUICK).fit(X, Y)), first)
    assert not torch.equal(weights(MSALHeadClassifier(random_state=6, **QUICK).fit(X, Y)), first)
    drawn = [weights(MSALHeadClassifier(random_state=None, max_steps=1).fit(X, Y)) for _ in range(2)]
    assert not torch.equal(*drawn)


def test_a_warm_start_goes_on_from_the_weights_and_the_scale():
    head = MSALHeadClassifier(warm_start=True).fit(X[:400], Y[:400])
    before, mean = head.outputs(X), head.mean_
    head.set_params(lr=1e-12, max_steps=1).fit(X[200:900], Y[200:900])
    np.testing.assert_allclose(head.outputs(X)["logits"], before["logits"], atol=1e-4)
    np.testing.assert_array_equal(head.mean_, mean)
    with pytest.raises(
        ValueError, match=r"expected the classes of the first fit with warm_start, \[0, 1, .*warm_start"
    ):
        head.fit(X[Y < 3], Y[Y < 3])
    head.set_params(warm_start=False).fit(X[Y < 3], Y[Y < 3])
    assert head.classes_.tolist() == [0, 1, 2]
    assert np.abs(head.mean_ - mean).max() > 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"head": "cosine"}, "head to be prototype or linear, got 'cosine'"),
        ({"radius": 0}, "radius must be a positive number"),
        ({"hidden": (0,)}, "hidden to be at least 1"),
        ({"dropout": 1}, "dropout must be at least 0 and below 1"),
        ({"max_steps": 0}, "expected max_steps to be a whole number of at least 1, got 0"),
        ({"batch_size": 2.5}, "expected batch_size to be a whole number of at least 1, got 2.5"),
        ({"lr": -1}, "Invalid learning rate"),
        ({"lr": 1e38, "hidden": (8,)}, "expected the loss to stay finite, got weights that are not: lower lr, now 1e"),
    ],
)
def test_refuses_options(options, message):
    with pytest.raises(ValueError, match=message):
        MSALHeadClassifier(**{**QUICK, **options}).fit(X, Y)


def test_passes_need_dropout():
    head = MSALHeadClassifier(dropout=0, max_steps=5).fit(X, Y)
    with pytest.raises(UserError, match=r"expected model.dropout to be above 0"):
        head.outputs(X, mc_samples=2)
    assert head.outputs(X).keys() == {"features", "logits"}


def test_features_are_used_as_they_are_without_standardization():
    head = MSALHeadClassifier(standardize=False, max_steps=5).fit(X, Y)
    np.testing.assert_array_equal(head.outputs(X)["features"], X.astype("float32"))
