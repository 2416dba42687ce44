"""A run that was interrupted gives what it would have given: records, labels, weights.

Options of the Trainer are in ``test_resume_options.py``, kills of whole processes in ``tests/faults``.
"""

import itertools
import json
from functools import partial

import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping
from PIL import Image

from msal_lightning.data import CropFlip
from msal_lightning.datasets import Digits, ImageFolder
from msal_lightning.errors import UserError
from msal_lightning.strategies import BADGE, BALD, CEAL, DBAL, MSAL, MSALD, KCenter, PowerAcquisition, Random

SURE = CEAL(MSAL(), threshold=0.9)  # sure of much, after few epochs
KILLS = [(0, 0), (0, 1), (1, "test"), (1, "pool pass"), (2, 0), (2, 1)]  # before a save, after it, after the fit


def digits(folder, **options):
    return Digits(batch_size=32, augmentation=CropFlip(padding=1), **options)


def files(folder):
    """Digits as files that are decoded on access, without a test set."""
    image, label = Digits().load()[0]
    (folder / "images").mkdir(exist_ok=True)
    for row in range(160):
        Image.fromarray(image[row, 0].numpy()).save(folder / f"images/{row}.png")
    lines = [f"{row}.png,{label[row]}\n" for row in range(160)]
    (folder / "labels.csv").write_text("path,label\n" + "".join(lines))
    where = {"root": str(folder / "images"), "csv": str(folder / "labels.csv"), "unlabeled": True}
    return ImageFolder(**where, size=8, channels=1, in_memory=False, num_workers=0, batch_size=32)


RUNS = {
    "Random, linear head, pool error": {"head": "linear", "strategy": Random(), "pool_error": True},
    "KCenter, long tail": {"strategy": KCenter(), "data": partial(digits, imbalance=0.1)},
    "CEAL, part of the pool": {"strategy": SURE, "pool_limit": 100},
    "BALD, validation": {"strategy": BALD(), "data": partial(digits, validation_fraction=0.25)},
    "files, labels held out": {"data": files, "held_out": 10},
}
MORE = {
    **{strategy.name: {"strategy": strategy} for strategy in (BADGE(), BALD(), KCenter(), DBAL())},
    "PowerAcquisition": {"strategy": PowerAcquisition()},
    "Random": {"strategy": Random()},
    "MSALD, long tail": {"strategy": MSALD(), "data": partial(digits, imbalance=0.1)},
    "validation": {"data": partial(digits, validation_fraction=0.25)},
}


def bodies(run):
    """The records without what a kill may change."""
    texts = [file.read_text() for file in sorted((run / "rounds").glob("*.json"))]
    return [{k: v for k, v in json.loads(text).items() if k not in ("seconds", "digest")} for text in texts]


def epochs_of(run, round):
    lines = (run / f"fits/{round:03d}/metrics.csv").read_text().splitlines()
    column = lines[0].split(",").index("epoch")
    epochs = [int(line.split(",")[column]) for line in lines[1:] if not line.startswith("0")]
    return [epoch for epoch, _ in itertools.groupby(epochs)]  # a validation has a row of its own


def weights(run, round=2):
    return torch.load(run / f"checkpoints/round-{round:03d}.ckpt")["state_dict"]


def assert_same(run, whole, last_round=2):
    assert bodies(run) == bodies(whole)
    assert (run / "ledger.csv").read_bytes() == (whole / "ledger.csv").read_bytes()
    assert [file.name for file in (run / "checkpoints").iterdir()] == [f"round-{last_round:03d}.ckpt"]
    ours, theirs = weights(run, last_round), weights(whole, last_round)
    assert [name for name in theirs if not torch.equal(ours[name], theirs[name])] == []


@pytest.mark.parametrize("name", [*RUNS, *(pytest.param(name, marks=pytest.mark.slow) for name in MORE)])
def test_a_run_that_is_killed_again_and_again_ends_like_a_whole_one(make_loop, killed, tmp_path, capsys, name):
    options = {"epochs": 2, **(RUNS | MORE)[name]}
    data = options.pop("data", digits)
    whole = make_loop("whole", data=data(tmp_path), **options)
    whole.run()
    looks = bool(whole.strategy.needs)
    kills = [(round, phase) for round, phase in KILLS if phase != "pool pass" or looks]
    for round, phase in kills:
        capsys.readouterr()
        killed(make_loop("broken", data=data(tmp_path), kill_at=(round, phase), **options))
        assert len(bodies(tmp_path / "broken")) == round
    resumed = make_loop("broken", data=data(tmp_path), **options)
    resumed.run()
    assert "(round 2 resumes after epoch 1)" in capsys.readouterr().out
    assert_same(tmp_path / "broken", tmp_path / "whole")
    assert [epochs_of(tmp_path / "broken", round) for round in range(3)] == [[0, 1]] * 3
    assert torch.equal(resumed.data.labeled_at, whole.data.labeled_at)
    assert torch.equal(resumed.data.labels, whole.data.labels)
    assert resumed.data.hidden_labels.num_revealed == 105


def test_a_fit_resumes_after_any_epoch(make_loop, killed, tmp_path, capsys):
    make_loop("whole").run()
    for epoch in range(5):
        capsys.readouterr()
        killed(make_loop("broken", kill_at=(1, epoch)))
        said = capsys.readouterr().out
        assert ("resumes" in said) == (epoch > 1)  # the kill before the first save leaves nothing to resume
        assert epoch < 2 or f"(round 1 resumes after epoch {epoch - 1})" in said
    make_loop("broken").run()
    assert_same(tmp_path / "broken", tmp_path / "whole")
    assert epochs_of(tmp_path / "broken", 1) == [0, 1, 2, 3, 4]


def test_rounds_without_a_record_are_repeated(make_loop, tmp_path):
    for name in ("whole", "broken"):
        make_loop(name, epochs=1).run()
    for name in ("rounds/001.json", "rounds/002.json", "ledger.csv"):
        (tmp_path / "broken" / name).unlink()
    make_loop("broken", epochs=1).run()
    assert_same(tmp_path / "broken", tmp_path / "whole")


def test_a_finished_run_is_not_run_again(make_loop, tmp_path, capsys):
    before = make_loop("a", epochs=1).run()

    def times():
        files = (file for file in (tmp_path / "a").rglob("*") if file.is_file() and file.name != "lock")
        return {file: file.stat().st_mtime_ns for file in files}

    written = times()
    capsys.readouterr()
    assert make_loop("a", epochs=1).run() == before
    assert "is finished" in capsys.readouterr().out
    assert times() == written


def test_the_time_of_the_interrupted_fit_counts(make_loop, killed, tmp_path):
    killed(make_loop("a", kill_at=(0, 3)))
    before = torch.load(tmp_path / "a/checkpoints/fit.ckpt")["msal_lightning"]["seconds"]
    assert before > 0
    killed(make_loop("a", kill_at=(1, 0)))
    assert json.loads((tmp_path / "a/rounds/000.json").read_text())["seconds"]["fit"] > before


def test_nothing_is_saved_before_the_time_has_come(make_loop, killed, tmp_path):
    killed(make_loop("a", kill_at=(0, 3), checkpoint_seconds=1000))
    assert not (tmp_path / "a/checkpoints").exists()


def test_early_stopping_is_not_forgotten(make_loop, killed, tmp_path):
    """The fit that had been told to stop, and was then killed in its test, does not go on training."""

    def stops():
        return EarlyStopping("train_loss", mode="max", patience=1, check_on_train_epoch_end=True)

    make_loop("whole", callbacks=[stops()], query_budget=0).run()
    assert len(epochs_of(tmp_path / "whole", 0)) < 5
    killed(make_loop("broken", callbacks=[stops()], kill_at=(0, "test"), query_budget=0))
    make_loop("broken", callbacks=[stops()], query_budget=0).run()
    assert_same(tmp_path / "broken", tmp_path / "whole", last_round=0)


# ---------------------------------------------------------------- checkpoints that cannot be used


@pytest.fixture(scope="module")
def once(loop_in, tmp_path_factory):
    """A whole run of a single round."""
    folder = tmp_path_factory.mktemp("once") / "whole"
    loop_in(folder, query_budget=0).run()
    return folder


def flip_a_byte(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :]


@pytest.fixture
def resume_with(make_loop, killed, tmp_path, once, capsys):
    """``resume_with(change)``: what a run says that resumes with another checkpoint, and gives the same."""

    def resume(change):
        killed(make_loop("broken", kill_at=(0, 3), query_budget=0))
        change(tmp_path / "broken/checkpoints/fit.ckpt")
        capsys.readouterr()
        make_loop("broken", query_budget=0).run()
        assert_same(tmp_path / "broken", once, last_round=0)
        return capsys.readouterr().out

    return resume


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(file.read_bytes()[:-500]),
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(flip_a_byte(file.read_bytes())),
        lambda file: torch.save({"state_dict": {}, "epoch": 3}, file),
        lambda file: torch.save({"epoch": 3, "msal_lightning": UserError("x")}, file),
    ],
    ids=["truncated", "empty", "a byte flipped", "of another program", "pickled code"],
)
def test_a_damaged_checkpoint_costs_the_fit_only(resume_with, damage):
    said = resume_with(damage)
    assert "fit.ckpt' is damaged or not from this program" in said
    assert "the fit of round 0 starts again" in said


def test_a_checkpoint_of_another_run_is_not_used(make_loop, killed, tmp_path, resume_with):
    killed(make_loop("other", kill_at=(0, 3), query_budget=0, seed=1))
    other = (tmp_path / "other/checkpoints/fit.ckpt").read_bytes()
    said = resume_with(lambda file: file.write_bytes(other))
    assert "belongs to another run (its split, config differ)" in said


# ---------------------------------------------------------------- other options


def test_another_loop_does_not_resume_a_run(make_loop):
    make_loop("a", MSALD(), epochs=1, query_budget=0).run()
    for message, options in (
        (r"query.class_path was .*MSALD, now .*Random", {"strategy": Random()}),
        (r"query.init_args.beta was 5.0, now 7", {"strategy": MSALD(beta=7)}),
        (r"seed was 0, now 1", {"seed": 1}),
        (r"loop.query_size was 40, now 30", {"query_size": 30}),
    ):
        with pytest.raises(UserError, match=message):
            make_loop("a", **{"strategy": MSALD(), "query_budget": 0, "epochs": 1, **options}).run()


def test_a_smaller_dataset_is_refused(make_loop, tmp_path):
    make_loop("a", epochs=1).run()
    (tmp_path / "a/rounds/002.json").unlink()
    loop = make_loop("a", epochs=1)
    loop.data.split.labeled_at = loop.data.labeled_at[:30].clone()
    with pytest.raises(UserError, match=r"expected 1,297 training images, .* got 30"):
        loop.run()
