"""A tracker that fails, hangs or comes back, told of a few rounds."""

import csv
import threading

import pytest

from msal_lightning.errors import UserError
from msal_lightning.runs.directory import RunDirectory
from msal_lightning.runs.records import LabeledImages, RoundRecord
from msal_lightning.tracking import LightningTracker, Tracking, tracking
from msal_lightning.training.fit_log import read_fit_epochs, split_epochs

EPOCHS = 2


def record(k):
    metrics = {"accuracy": 0.1 * k}
    return RoundRecord(k, 10 + k, 90, metrics, {"fit": 1.0}, None, [1, 0], LabeledImages([k], [0]), LabeledImages(), {})


@pytest.fixture
def run(tmp_path):
    directory = RunDirectory(tmp_path / "run", {"seed": 0})
    directory.open()
    yield directory
    directory.close()


def fit(to, k, epochs=EPOCHS):
    """What the Trainer of a round tells its logger."""
    log = to.logger(k)
    for epoch in range(epochs):
        log.log_metrics({"lr": 0.5}, step=3 * epoch)
        log.epoch_ends()
        log.log_metrics({"train_loss": 10 * k + epoch, "epoch": epoch}, step=3 * epoch + 2)
    log.finalize("success")
    log.log_metrics({"accuracy": 0.1 * k, "epoch": epochs}, step=3 * epochs)  # of the test
    log.save()


def rounds(to, numbers):
    for k in numbers:
        fit(to, k)
        to.log_round(record(k))


# by hand: two epochs of three steps a round, one after the other, and a point of the curve over 10, 11, 12 labels
EXPECTED = [
    (step, row)
    for k in range(3)
    for step, row in (
        (6 * k, {"lr": 0.5}),
        (6 * k + 2, {"train_loss": 10 * k, "epoch": 2 * k}),
        (6 * k + 3, {"lr": 0.5}),
        (6 * k + 5, {"train_loss": 10 * k + 1, "epoch": 2 * k + 1}),
        (10 + k, {"loop/accuracy": 0.1 * k}),
    )
]


def short(told):
    """Without columns of the curve that another test reads."""
    return [
        (step, {k: v for k, v in row.items() if not k.startswith("loop/") or k == "loop/accuracy"})
        for step, row in told
        if "AUBC" not in row
    ]


def test_epochs_and_steps_run_on_over_the_rounds(run, theirs):
    to = Tracking(run, LightningTracker(theirs.Recorder(), run), pytest.fail)
    to.start([])
    rounds(to, range(3))
    to.finish({"AUBC": 0.1})
    assert short(theirs.Recorder.reported) == EXPECTED
    assert to.finished


def test_one_loop_can_run_twice(run, theirs):
    to = Tracking(run, LightningTracker(theirs.Recorder(), run), pytest.fail)
    to.start([])
    rounds(to, range(1))
    to.close()  # it waits for a person
    to.start([record(0)])
    rounds(to, range(1, 3))
    to.finish({"AUBC": 0.1})
    assert short(theirs.Recorder.reported) == EXPECTED


def test_a_logger_without_versions_is_told_everything(run, theirs, monkeypatch):
    monkeypatch.setattr(theirs.Recorder, "version", None)
    monkeypatch.delattr(theirs.Recorder, "experiment")
    to = Tracking(run, LightningTracker(theirs.Recorder(), run), pytest.fail)
    to.start([])
    rounds(to, range(3))
    to.finish({"AUBC": 0.1})
    assert short(theirs.Recorder.reported) == EXPECTED


@pytest.mark.parametrize("hook", ["log_metrics", "save", "finalize"])
@pytest.mark.parametrize("after", [2, 4])
def test_a_logger_that_fails_is_a_note_and_gets_the_rest_at_the_next_start(run, theirs, hook, after):
    theirs.Recorder.fails[hook] = 0 if hook == "finalize" else after
    notes = []
    to = Tracking(run, LightningTracker(theirs.Recorder(), run), notes.append)
    to.start([])
    rounds(to, range(3))
    to.finish({"AUBC": 0.1})
    assert len(notes) == 1
    assert "logger Recorder failed ([Errno 28] No space left on device)" in notes[0]
    assert not to.finished
    told = theirs.Recorder.reported
    theirs.Recorder.fails.clear()
    if hook == "log_metrics":  # it may have failed inside an epoch, which is then sent whole
        told[:] = told[: 2 * (len(told) // 2)]
    if hook == "save":  # what was not saved is sent again
        del told[-1 if short(told)[-1][1].keys() == {"loop/accuracy"} else -2 :]
    again = Tracking(run, LightningTracker(theirs.Recorder(), run), pytest.fail)
    again.start([record(k) for k in range(3)])
    again.finish({"AUBC": 0.1})
    assert short(told) == EXPECTED
    assert again.finished


def test_a_logger_that_never_answers_delays_nothing(run, theirs, monkeypatch):
    monkeypatch.setattr(tracking, "_END", 0.05)
    never = threading.Event()
    monkeypatch.setattr(theirs.Recorder, "log_metrics", lambda *args, **kwargs: never.wait())
    notes = []
    to = Tracking(run, LightningTracker(theirs.Recorder(), run), notes.append)
    to.start([])
    rounds(to, range(2))
    to.finish({"AUBC": 0.1})
    never.set()
    assert len(notes) == 1
    assert "no answer within" in notes[0]


def test_a_logger_that_cannot_begin_is_an_error_at_first_and_a_note_later(run, theirs):
    theirs.Recorder.fails["log_hyperparams"] = 0
    with pytest.raises(UserError, match=r"logger Recorder cannot start .*No space.*set logger to csv"):
        Tracking(run, LightningTracker(theirs.Recorder(), run), pytest.fail).start([])
    theirs.Recorder.fails.clear()
    to = Tracking(run, LightningTracker(theirs.Recorder(), run), pytest.fail)
    to.start([])
    rounds(to, range(1))
    to.close()
    theirs.Recorder.fails["save"] = 0
    notes = []
    later = Tracking(run, LightningTracker(theirs.Recorder(), run), notes.append)
    later.start([record(0)])
    rounds(later, range(1, 2))
    assert len(notes) == 1


def test_the_epochs_of_a_fit_that_may_be_thrown_away_wait_for_its_end(run, theirs):
    to = Tracking(run, LightningTracker(theirs.Recorder(), run), pytest.fail, hold=True)
    to.start([])
    diverged = to.logger(0)
    diverged.epoch_ends()
    diverged.log_metrics({"train_loss": 1e30, "epoch": 0}, step=2)
    rounds(to, range(3))
    to.finish({})
    assert short(theirs.Recorder.reported)[:-1] == EXPECTED


def test_losses_that_cannot_be_written_are_a_note(run):
    (run.path / "fits").write_text("in the way")
    notes = []
    to = Tracking(run, None, notes.append)
    to.start([])
    rounds(to, range(2))
    assert len(notes) == 1
    assert "cannot write the losses" in notes[0]


def test_a_file_of_losses_that_is_damaged_has_no_epochs(run):
    to = Tracking(run, None, pytest.fail)
    fit(to, 0)
    file = run.path / "fits" / "000" / "metrics.csv"
    assert [[row["step"] for row in epoch] for epoch in read_fit_epochs(run.path, 0, ["accuracy"])] == [[0, 2], [3, 5]]
    assert len(list(csv.DictReader(file.read_text().splitlines()))) == 2 * EPOCHS + 1
    file.write_bytes(b"epoch,step\n\xff,\x00\n")
    assert read_fit_epochs(run.path, 0, ["accuracy"]) == []
    assert read_fit_epochs(run.path, 7, ["accuracy"]) == []


def test_rows_belong_to_the_epoch_that_follows_them():
    rows = [{"lr": 1, "step": 0}, {"epoch": 0, "step": 1}, {"epoch": 0, "step": 2}, {"lr": 2, "step": 3}]
    assert split_epochs(rows) == [rows[:3]]
    assert split_epochs([*rows, {"epoch": 1, "step": 4}]) == [rows[:3], [rows[3], {"epoch": 1, "step": 4}]]


def test_callbacks_find_the_logger_of_the_user(run, theirs):
    recorder = theirs.Recorder()
    to = Tracking(run, LightningTracker(recorder, run), lambda note: None)
    to.start([])
    assert to.logger(0).experiment is recorder
    theirs.Recorder.fails["save"] = 0
    fit(to, 0)
    to.log_round(record(0))
    to.close()
    to.logger(1).log_image("nothing comes of it, and nothing ends", [])
    with pytest.raises(AttributeError, match="log_image"):
        _ = Tracking(run, None, pytest.fail).logger(0).log_image
