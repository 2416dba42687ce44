"""Runs that a stopping criterion ends."""

from dataclasses import replace

import pytest
import scipy.stats
import torch

from msal_lightning import MSALClassifier
from msal_lightning.analysis.report.result import build
from msal_lightning.errors import ConfigError
from msal_lightning.runs.amendments import read_amendments
from msal_lightning.runs.reading import read_run
from msal_lightning.stopping import StoppingCriterion


class StopAt(StoppingCriterion):
    """Ends a run in a round, and keeps what it saw."""

    def __init__(self, round, size=30):
        self.round, self.size, self.looks, self.sleeps = round, size, [], False

    @property
    def stop_set_size(self):
        return self.size

    def reason(self, looks):
        self.looks = [*looks]
        return f"round {self.round}" if len(looks) - 1 == self.round and not self.sleeps else None


class KilledError(Exception):
    """Stands for a kill."""


def weights(folder, round):
    return torch.load(folder / "checkpoints" / f"round-{round:03d}.ckpt")["state_dict"]


def without(record):
    return replace(record, stop_set=None, seconds={})


def test_a_run_that_ends_early_is_one_with_a_smaller_budget(make_loop, tmp_path):
    criterion = StopAt(1)
    stopped = make_loop("stopped", stop=criterion, pool_error=True).run()
    planned = make_loop("planned", query_budget=40, pool_error=True).run()
    assert [without(record) for record in stopped] == [without(record) for record in planned]
    assert (tmp_path / "stopped" / "ledger.csv").read_text() == (tmp_path / "planned" / "ledger.csv").read_text()
    one, other = weights(tmp_path / "stopped", 1), weights(tmp_path / "planned", 1)
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert read_run(tmp_path / "stopped").label_counts == [40, 80]
    (amendment,) = read_amendments(tmp_path / "stopped").items
    assert amendment.reason == "StopAt: round 1"
    assert [(look.labels, look.accuracy) for look in criterion.looks] == [(r.num_labeled, r.accuracy) for r in stopped]
    assert make_loop("stopped", stop=StopAt(1), pool_error=True).run() == stopped  # nothing is left to do


def test_the_stop_set_stays_the_same_and_has_the_models_predictions(make_loop, tmp_path):
    loop = make_loop("run", stop=StopAt(9))
    records = loop.run()
    sets = [record.stop_set for record in records]
    assert len(sets) == 3
    assert {tuple(one.index) for one in sets} == {tuple(sets[0].index)}
    assert len(sets[0].index) == 30
    assert {*sets[0].index} & {*records[0].initial.index, *records[0].queried.index}  # labeled ones stay
    assert all(0 < one.uncertainty < 1 for one in sets)
    model = MSALClassifier.load_from_checkpoint(tmp_path / "run" / "checkpoints" / "round-002.ckpt").eval()
    with torch.inference_mode():
        probability = model((loop.data.images[sets[-1].index] / 255 - loop.data.mean[0]) / loop.data.std[0]).softmax(1)
    assert sets[-1].predicted == probability.argmax(1).tolist()
    entropy = scipy.stats.entropy(probability.double().numpy(), axis=1, base=10)
    assert sets[-1].uncertainty == pytest.approx(entropy.mean(), rel=1e-4)


def test_a_kill_before_the_last_record_changes_nothing(make_loop, tmp_path, monkeypatch):
    whole = make_loop("whole", stop=StopAt(1)).run()
    loop = make_loop("killed", stop=StopAt(1))
    commit = loop.observers.commit

    def commit_or_die(record):
        if record.round == 1:
            raise KilledError
        commit(record)

    monkeypatch.setattr(loop.observers, "commit", commit_or_die)
    with pytest.raises(KilledError):
        loop.run()
    assert len(read_amendments(tmp_path / "killed").items) == 1
    again = make_loop("killed", stop=StopAt(1)).run()
    assert [replace(record, seconds={}) for record in again] == [replace(record, seconds={}) for record in whole]
    assert len(read_amendments(tmp_path / "killed").items) == 1


def test_a_report_leaves_out_a_run_that_ended_earlier_and_says_so(make_loop, tmp_path):
    whole, short = StopAt(1), StopAt(1)
    whole.sleeps = True
    make_loop("runs-whole", stop=whole).run()
    make_loop("runs-short", stop=short, seed=1).run()
    report = build([tmp_path / "runs-whole", tmp_path / "runs-short"])
    said = f"{tmp_path / 'runs-short'} is left out: it ended after 2 rounds, and others have 3; report it alone"
    assert said in report.notes
    assert [row.num_seeds for row in report.rows] == [1]


def test_a_replay_has_no_criterion_of_its_own(make_loop):
    with pytest.raises(ConfigError, match=r"expected loop.stop to be left out with loop.replay, .* got StopAt"):
        make_loop("run", stop=StopAt(1), replay="other")
