"""Resume inside a fit."""

import json
import shutil

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping

from msal_lightning import ActiveLoop, LoopOptions, MSALClassifier, RunDirectory
from msal_lightning.data import CropFlip
from msal_lightning.datasets import Digits
from msal_lightning.errors import UserError
from msal_lightning.models.backbones import SmallCNN
from msal_lightning.strategies import Entropy
from msal_lightning.training.checkpoint import SavedFit, read_fit


class KilledError(Exception):
    pass


class EndsAt(Callback):
    """Breaks off in a given epoch."""

    def __init__(self, round, epoch):
        self.at = round, epoch

    def on_train_batch_end(self, trainer, *args):
        if (trainer.datamodule.round, trainer.current_epoch) == self.at:
            raise KilledError


@pytest.fixture
def make_loop(tmp_path):
    """``make_loop(name, ends_at=(round, epoch))``: two rounds of five epochs with dropout and augmentation."""

    def make(name, ends_at=None, callbacks=(), model=MSALClassifier, **options):
        own = [*callbacks, *([EndsAt(*ends_at)] if ends_at else [])]
        options = {"checkpoint_seconds": 0} | options
        return ActiveLoop(
            lambda: model(10, 1, lambda channels: SmallCNN(channels, width=4)),
            lambda callbacks, **settings: Trainer(
                max_epochs=5, accelerator="cpu", callbacks=[*own, *callbacks], **settings
            ),
            Digits(batch_size=16, augmentation=CropFlip(padding=1)),
            Entropy(),
            RunDirectory(tmp_path / name),
            LoopOptions(initial_size=40, query_size=40, query_budget=40, **options),
        )

    return make


def weights(folder, round=1):
    return torch.load(folder / "checkpoints" / f"round-{round:03d}.ckpt")["state_dict"]


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


def epochs_of(folder, round):
    lines = (folder / "fits" / f"{round:03d}" / "metrics.csv").read_text().splitlines()
    column = lines[0].split(",").index("epoch")
    return [int(line.split(",")[column]) for line in lines[1:] if not line.startswith("0")]


@pytest.mark.parametrize(("round", "epoch"), [(0, 0), (0, 3), (1, 1), (1, 4)])
def test_a_fit_goes_on_where_it_was_saved(make_loop, tmp_path, capsys, round, epoch):
    make_loop("whole").run()
    with pytest.raises(KilledError):
        make_loop("broken", (round, epoch)).run()
    capsys.readouterr()
    records = make_loop("broken").run()
    said = f"(round {round} resumes after epoch {epoch})"
    assert (said in capsys.readouterr().out) == (epoch > 0)
    assert same(weights(tmp_path / "broken"), weights(tmp_path / "whole"))
    assert (tmp_path / "broken" / "ledger.csv").read_bytes() == (tmp_path / "whole" / "ledger.csv").read_bytes()
    assert epochs_of(tmp_path / "broken", round) == [0, 1, 2, 3, 4]
    assert records[round].seconds["fit"] > 0
    assert [file.name for file in (tmp_path / "broken" / "checkpoints").iterdir()] == ["round-001.ckpt"]


def test_the_time_of_the_interrupted_fit_counts(make_loop, tmp_path):
    with pytest.raises(KilledError):
        make_loop("a", (0, 3)).run()
    before = torch.load(tmp_path / "a" / "checkpoints" / "fit.ckpt")["msal_lightning"]["seconds"]
    assert before > 0
    assert make_loop("a").run()[0].seconds["fit"] > before


def test_not_saved_before_the_time_has_come(make_loop, tmp_path):
    with pytest.raises(KilledError):
        make_loop("a", (0, 3), checkpoint_seconds=1000).run()
    assert not (tmp_path / "a" / "checkpoints").exists()


def test_early_stopping_is_not_forgotten(make_loop, tmp_path):
    """The fit that had been told to stop, and was then killed in its test, does not go on training."""

    def stops():
        return EarlyStopping("train_loss", mode="max", patience=1, check_on_train_epoch_end=True)

    class EndsInTest(Callback):
        def on_test_start(self, trainer, *args):
            raise KilledError

    make_loop("whole", callbacks=[stops()]).run()
    assert len(epochs_of(tmp_path / "whole", 0)) < 5
    with pytest.raises(KilledError):
        make_loop("broken", callbacks=[stops(), EndsInTest()]).run()
    make_loop("broken", callbacks=[stops()]).run()
    assert same(weights(tmp_path / "broken"), weights(tmp_path / "whole"))


def cut(file):
    file.write_bytes(file.read_bytes()[:-500])


def empty(file):
    file.write_bytes(b"")


def flip_a_byte(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)


def of_somebody_else(file):
    torch.save({"state_dict": {}, "epoch": 3}, file)


def pickled_code(file):
    torch.save({"epoch": 3, "msal_lightning": UserError("x")}, file)


@pytest.mark.parametrize("damage", [cut, empty, flip_a_byte, of_somebody_else, pickled_code])
def test_a_damaged_checkpoint_costs_the_fit_only(make_loop, tmp_path, capsys, damage):
    make_loop("whole").run()
    with pytest.raises(KilledError):
        make_loop("broken", (1, 3)).run()
    damage(tmp_path / "broken" / "checkpoints" / "fit.ckpt")
    capsys.readouterr()
    make_loop("broken").run()
    out = capsys.readouterr().out
    assert "fit.ckpt' is damaged or not from this program" in out
    assert "the fit of round 1 starts again" in out
    assert same(weights(tmp_path / "broken"), weights(tmp_path / "whole"))


def test_a_checkpoint_of_another_run_is_not_used(make_loop, tmp_path, capsys):
    with pytest.raises(KilledError):
        make_loop("other", (1, 3), seed=1).run()
    make_loop("whole").run()
    with pytest.raises(KilledError):
        make_loop("broken", (1, 0)).run()
    (tmp_path / "broken" / "checkpoints").mkdir(exist_ok=True)
    shutil.copy(tmp_path / "other" / "checkpoints" / "fit.ckpt", tmp_path / "broken" / "checkpoints" / "fit.ckpt")
    capsys.readouterr()
    make_loop("broken").run()
    assert "belongs to another run (its split, config differ)" in capsys.readouterr().out
    assert same(weights(tmp_path / "broken"), weights(tmp_path / "whole"))


def test_a_checkpoint_of_a_finished_round_is_left_alone(make_loop, tmp_path):
    with pytest.raises(KilledError):
        make_loop("a", (0, 3)).run()
    file = tmp_path / "a" / "checkpoints" / "fit.ckpt"
    entry = torch.load(file)["msal_lightning"]
    origin = {k: v for k, v in entry.items() if k not in ("attempt", "seconds", "rows")}
    assert read_fit(file, origin) == SavedFit(0, 3, entry["seconds"], entry["rows"])
    assert [row["epoch"] for row in entry["rows"]] == [0, 1, 2]
    assert read_fit(file, origin | {"round": 1, "split": "later"}) is None
    assert read_fit(tmp_path / "none.ckpt", origin) is None


# ---------------------------------------------------------------- retention


@pytest.mark.parametrize(
    ("keep", "expected"), [("last", ["round-001.ckpt"]), ("all", ["round-000.ckpt", "round-001.ckpt"]), ("none", [])]
)
def test_what_is_kept(make_loop, tmp_path, keep, expected):
    make_loop("a", keep_checkpoints=keep).run()
    assert sorted(file.name for file in (tmp_path / "a" / "checkpoints").iterdir()) == expected
    make_loop("a", keep_checkpoints="none").run()  # may change at any time, even after the end
    assert sorted(file.name for file in (tmp_path / "a" / "checkpoints").iterdir()) == []


# ---------------------------------------------------------------- a loss that is no number


class DivergesOnce(MSALClassifier):
    """Diverges in round 1 unless its weights come from a retry."""

    first = None

    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)
        data = self.trainer.datamodule
        bad = data.round == 1 and data.context.attempt == 0 and (self.current_epoch, batch_idx) >= (2, 1)
        return loss * float("nan") if bad else loss


def test_a_diverged_fit_stops_with_round_and_step(make_loop, tmp_path):
    expected = r"NaN or infinite in epoch 2, step 11 of round 1: lower model.optimizer.* set loop.on_nan to retry"
    for _ in range(2):  # the second time from the checkpoint of epoch 2
        with pytest.raises(UserError, match=expected):
            make_loop("a", model=DivergesOnce).run()
    assert len(list((tmp_path / "a" / "rounds").iterdir())) == 1


def test_a_diverged_fit_is_tried_again(make_loop, tmp_path, capsys):
    make_loop("whole", model=DivergesOnce, on_nan="retry").run()
    assert "starts again with other weights, attempt 2" in capsys.readouterr().out
    with pytest.raises(UserError):
        make_loop("later", model=DivergesOnce).run()
    with pytest.raises(KilledError):
        make_loop("later", (1, 4), model=DivergesOnce, on_nan="retry").run()
    capsys.readouterr()
    make_loop("later", model=DivergesOnce, on_nan="retry").run()
    assert "resumes after epoch 4" in capsys.readouterr().out  # of the second attempt
    assert same(weights(tmp_path / "later"), weights(tmp_path / "whole"))
    usual = make_loop("usual")
    usual.run()
    assert not same(weights(tmp_path / "usual"), weights(tmp_path / "whole"))


def test_it_is_not_tried_for_ever(make_loop):
    class Diverges(MSALClassifier):
        def training_step(self, batch, batch_idx):
            return super().training_step(batch, batch_idx) * float("inf")

    with pytest.raises(UserError, match="of round 0, 4 times with other weights: lower"):
        make_loop("a", model=Diverges, on_nan="retry").run()


# ---------------------------------------------------------------- replay


def test_a_replay_buys_the_same_with_another_model(make_loop, tmp_path):
    first = make_loop("first").run()
    again = make_loop("again", model=lambda *a: MSALClassifier(*a, head="linear"), replay=str(tmp_path / "first")).run()
    assert (tmp_path / "again" / "ledger.csv").read_bytes() == (tmp_path / "first" / "ledger.csv").read_bytes()
    assert [record.num_labeled for record in again] == [40, 80]
    assert not same(weights(tmp_path / "again"), weights(tmp_path / "first")) or first != again
    make_loop("seed", seed=3, replay=str(tmp_path / "first")).run()
    assert (tmp_path / "seed" / "ledger.csv").read_bytes() == (tmp_path / "first" / "ledger.csv").read_bytes()


def test_the_same_model_replayed_is_the_same(make_loop, tmp_path):
    make_loop("first").run()
    make_loop("again", replay=str(tmp_path / "first")).run()
    assert same(weights(tmp_path / "again"), weights(tmp_path / "first"))


def test_a_replay_goes_on_too(make_loop, tmp_path):
    make_loop("first").run()
    with pytest.raises(KilledError):
        make_loop("again", (1, 3), replay=str(tmp_path / "first")).run()
    make_loop("again", replay=str(tmp_path / "first")).run()
    assert same(weights(tmp_path / "again"), weights(tmp_path / "first"))


def test_a_replay_on_another_dataset_is_refused(make_loop, tmp_path):
    make_loop("first").run()
    loop = make_loop("again", replay=str(tmp_path / "first"))
    loop.data.hidden_labels._HiddenLabels__labels += 1
    with pytest.raises(UserError, match=r"first', got others \(the label of train image 0 is another one\)"):
        loop.run()


def test_records_say_nothing_of_a_kill(make_loop, tmp_path):
    make_loop("whole").run()
    with pytest.raises(KilledError):
        make_loop("broken", (1, 3)).run()
    make_loop("broken").run()

    def record(name):
        body = json.loads((tmp_path / name / "rounds" / "001.json").read_text())
        return {key: value for key, value in body.items() if key not in ("seconds", "digest")}

    assert record("broken") == record("whole")
