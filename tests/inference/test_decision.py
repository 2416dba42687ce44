"""The threshold of a rare class: scikit-learn's choice, held-out labels only, and its use."""

import csv
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import balanced_accuracy_score, f1_score, precision_recall_fscore_support
from sklearn.model_selection import TunedThresholdClassifierCV

from msal_lightning import load
from msal_lightning.cli.main import main
from msal_lightning.inference.decision import Decision, choose_threshold, measure


class Known(ClassifierMixin, BaseEstimator):
    """Its score is its input."""

    def fit(self, x, y):
        self.classes_ = np.array([0, 1])
        return self

    def predict_proba(self, x):
        return np.hstack([1 - x, x])

    def predict(self, x):
        return (x[:, 0] >= 0.5).astype(int)


@pytest.mark.parametrize("metric", ["balanced_accuracy", "f1"])
def test_the_choice_is_as_good_as_scikit_learns(metric):
    generator = np.random.default_rng(0)
    is_class = generator.random(300) < 0.1
    scores = np.clip(generator.normal(0.15 + 0.2 * is_class, 0.1), 0, 1)
    theirs = TunedThresholdClassifierCV(
        FrozenEstimator(Known().fit(None, None)), scoring=metric, cv="prefit", refit=False, thresholds=60
    ).fit(scores[:, None], is_class.astype(int))
    score = balanced_accuracy_score if metric == "balanced_accuracy" else f1_score
    ours = score(is_class, scores >= choose_threshold(scores, is_class, metric))
    assert ours >= theirs.best_score_ - 1e-12
    assert ours == pytest.approx(theirs.best_score_, abs=0.03)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=2, max_size=30), st.sampled_from([0.3, 0.9, 1]))
def test_the_choice_of_a_naive_search(pairs, recall):
    scores, is_class = np.array([s / 10 for s, _ in pairs]), np.array([c for _, c in pairs])
    if is_class.all() or not is_class.any():
        return

    def f1(threshold):
        said = scores >= threshold
        return 2 * (said & is_class).sum() / (said.sum() + is_class.sum())

    assert f1(choose_threshold(scores, is_class, "f1")) == pytest.approx(max(map(f1, [*np.unique(scores), 1.1])))
    threshold = choose_threshold(scores, is_class, "f1", recall)
    assert (scores[is_class] >= threshold).mean() >= recall - 1e-9
    higher = scores[scores > threshold]
    if len(higher):
        assert (scores[is_class] > higher.min()).mean() < recall


def test_a_decision_and_its_quality_by_hand():
    p = np.array([[0.7, 0.2, 0.1], [0.2, 0.3, 0.5], [0.3, 0.5, 0.2], [0.1, 0.05, 0.85]])
    found = Decision(1, 0.25).classes(p)
    assert found.tolist() == [0, 1, 1, 2]
    assert Decision(1, 0.6).classes(p).tolist() == [0, 2, 0, 2]
    labels = np.array([1, 1, 0, 2])
    quality = measure(labels, found, 1)
    precision, recall, f1, _ = precision_recall_fscore_support(labels == 1, found == 1, average="binary")
    assert (quality.precision, quality.recall, quality.f1) == pytest.approx((precision, recall, f1))
    assert quality.balanced_accuracy == pytest.approx(balanced_accuracy_score(labels == 1, found == 1))
    assert quality.accuracy == 0.5


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    """A run on features in which one row of ten is a defect that looks much like the others."""
    root = tmp_path_factory.mktemp("line")
    generator = np.random.default_rng(0)
    is_defect = generator.random(1200) < 0.1
    features = generator.normal(size=(1200, 6)) + 1.6 * is_defect[:, None] * np.array([1, 1, 0, 0, 0, 0])
    np.save(root / "features.npy", features.astype(np.float32))
    names = np.where(is_defect, "defect", np.where(features[:, 5] > 0, "ok", "fine"))
    (root / "labels.csv").write_text("label\n" + "\n".join(names) + "\n")
    run = root / "run"
    args = [
        "--config",
        "embeddings",
        "--data.root",
        str(root),
        "--data.validation_fraction",
        "0.4",
        "--run_dir",
        str(run),
    ]
    args += ["--loop.initial_size", "300", "--loop.query_size", "50", "--loop.query_budget", "50", "--query", "Margin"]
    assert main(["fit", *args, "--trainer.max_steps", "100"]) == 0
    return root


def quality_of(part, rule):
    return part[rule]["recall"], part[rule]["precision"]


def test_it_is_chosen_on_the_labels_that_no_fit_saw(line, capsys):
    assert main(["threshold", str(line / "run"), "--class", "defect"]) == 0
    out = capsys.readouterr().out
    assert "'defect' from a probability of 0." in out
    content = json.loads((line / "run/threshold.json").read_text())
    assert content["held_out"]["images"] == 140  # 0.4 of 350 labels
    assert content["test"]["images"] == 240
    assert quality_of(content["test"], "threshold")[0] > quality_of(content["test"], "most_probable")[0]
    record = json.loads((line / "run/rounds/001.json").read_text())
    assert content["test"]["most_probable"]["accuracy"] == pytest.approx(record["metrics"]["accuracy"], abs=0.005)


def test_predict_load_and_the_card_use_it(line, tmp_path, capsys):
    run = str(line / "run")
    assert main(["threshold", run, "--class", "defect", "--recall", "1"]) == 0
    threshold = json.loads((line / "run/threshold.json").read_text())["threshold"]
    for name, more in (("plain", []), ("decided", ["--threshold"])):
        assert main(["predict", run, str(line), "--out", str(tmp_path / f"{name}.csv"), "--probabilities", *more]) == 0
    plain, decided = ([*csv.DictReader((tmp_path / f"{n}.csv").read_text().splitlines())] for n in ("plain", "decided"))
    for row in decided:
        others = max((float(row[f"p_{name}"]), name) for name in ("fine", "ok"))[1]
        assert row["class"] == ("defect" if float(row["p_defect"]) >= threshold else others)
    assert sum(row["class"] == "defect" for row in plain) < sum(row["class"] == "defect" for row in decided)
    features = np.load(line / "features.npy")
    assert load(run, threshold=True)(features).classes == [row["class"] for row in decided]
    assert load(run)(features).classes == [row["class"] for row in plain]
    assert main(["export", run, "--format", "state-dict", "--out", str(tmp_path / "export")]) == 0
    page = (tmp_path / "export/card-state-dict.md").read_text()
    assert "An image is of the class defect if its probability is at least" in page
    assert json.loads((tmp_path / "export/card-state-dict.json").read_text())["threshold"]["threshold"] == threshold


def test_mistakes_are_one_sentence(line, tmp_path, capsys):
    run = line / "run"
    assert main(["threshold", str(run), "--class", "defct"]) == 2
    assert "expected --class to be one of defect, fine, ok, got 'defct': did you mean defect" in capsys.readouterr().err
    file = run / "threshold.json"
    body = json.loads(file.read_text())
    file.write_text(json.dumps({**body, "model": "another"}))
    out = str(tmp_path / "a.csv")
    assert main(["predict", str(run), str(line), "--out", out, "--threshold"]) == 2
    assert "expected a threshold that was chosen for 'round-001.ckpt'" in capsys.readouterr().err
    file.write_text("{}")
    assert main(["predict", str(run), str(line), "--out", out, "--threshold"]) == 2
    assert "is damaged: delete it, and choose the threshold again" in capsys.readouterr().err
    file.unlink()
