"""A loss or an output that is NaN or infinite ends the fit, or starts it again with other weights."""

import math

import pytest
import torch

from msal_lightning import MSALClassifier
from msal_lightning.errors import UserError


class DivergesOnce(MSALClassifier):
    """Diverges in round 1 unless its weights come from a retry."""

    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)
        data = self.trainer.datamodule
        bad = data.round == 1 and data.context.attempt == 0 and (self.current_epoch, batch_idx) >= (2, 1)
        return loss * math.nan if bad else loss


def weights(run):
    return torch.load(run / "checkpoints/round-001.ckpt")["state_dict"]


def same(a, b):
    return all(torch.equal(weights(a)[name], value) for name, value in weights(b).items())


def test_a_diverged_fit_stops_with_round_and_step(make_loop, tmp_path):
    expected = r"NaN or infinite in epoch 2, step 11 of round 1: lower model.optimizer.* set loop.on_nan to retry"
    for _ in range(2):  # the second time from the checkpoint of epoch 2
        with pytest.raises(UserError, match=expected):
            make_loop("a", model=DivergesOnce).run()
    assert len(list((tmp_path / "a/rounds").iterdir())) == 1


def test_a_diverged_fit_is_tried_again_also_after_a_kill(make_loop, killed, tmp_path, capsys):
    sizes = {"query_budget": 40}
    make_loop("whole", model=DivergesOnce, on_nan="retry", **sizes).run()
    assert "starts again with other weights, attempt 2" in capsys.readouterr().out
    with pytest.raises(UserError):
        make_loop("later", model=DivergesOnce, **sizes).run()
    killed(make_loop("later", model=DivergesOnce, on_nan="retry", kill_at=(1, 4), **sizes))
    capsys.readouterr()
    make_loop("later", model=DivergesOnce, on_nan="retry", **sizes).run()
    assert "resumes after epoch 4" in capsys.readouterr().out  # of the second attempt
    assert same(tmp_path / "later", tmp_path / "whole")
    make_loop("usual", **sizes).run()
    assert not same(tmp_path / "usual", tmp_path / "whole")


def test_it_is_not_tried_for_ever(make_loop):
    class Diverges(MSALClassifier):
        def training_step(self, batch, batch_idx):
            return super().training_step(batch, batch_idx) * math.inf

    with pytest.raises(UserError, match="of round 0, 4 times with other weights: lower"):
        make_loop("a", model=Diverges, on_nan="retry").run()


def test_a_model_that_gives_nan_from_the_start_is_named(make_loop):
    class Diverged(MSALClassifier):
        def forward(self, images):
            return super().forward(images) * math.nan

    with pytest.raises(UserError, match=r"NaN or infinite in epoch 0, step 0 of round 0: lower model.optimizer"):
        make_loop("a", model=Diverged).run()


def test_a_model_that_only_scores_nan_is_named(make_loop):
    class Diverged(MSALClassifier):
        def predict_step(self, batch, batch_idx):
            outputs = super().predict_step(batch, batch_idx)
            return {**outputs, "logits": outputs["logits"] * math.nan}

    with pytest.raises(UserError, match=r"diverged; lower model.optimizer"):
        make_loop("a", model=Diverged, epochs=1).run()
