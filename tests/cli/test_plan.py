"""``fit --plan``: the arithmetic by hand, and that nothing is written."""

import pytest
import torch
from lightning.pytorch import Trainer

from msal_lightning import ActiveLoop, LoopOptions, MSALClassifier, RunDirectory
from msal_lightning.cli.main import main
from msal_lightning.cli.plan import Speed, make_plan, measure, show
from msal_lightning.datasets import Digits
from msal_lightning.models.backbones import SmallCNN
from msal_lightning.strategies import MSALD, Entropy, KCenter, Random


@pytest.fixture
def make_loop(tmp_path):
    def make(strategy, batch_size=32, last_batch="balanced", **sizes):
        return ActiveLoop(
            lambda: MSALClassifier(10, 1, lambda channels: SmallCNN(channels, width=4)),
            lambda **settings: Trainer(accelerator="cpu", **settings),
            Digits(batch_size=batch_size, last_batch=last_batch),
            strategy,
            RunDirectory(tmp_path / "run"),
            LoopOptions(**sizes),
        )

    return make


SIZES = {"initial_size": 40, "query_size": 25, "query_budget": 50}  # 40, 65, 90 labels of 1,297 images


def test_steps_and_looks_by_hand(make_loop):
    plan = make_plan(make_loop(Entropy(), **SIZES), max_epochs=3)
    assert plan.label_counts == [40, 65, 90]
    # 40: 20 + 20; 65: 22 + 22 + 21; 90: 30 + 30 + 30
    assert plan.steps == [6, 9, 9]
    assert plan.scored == [1257, 1232, 0]  # no query after the last round
    assert plan.tested == 500
    assert plan.image_bytes == 1797 * 64
    assert plan.parameters == sum(p.numel() for p in MSALClassifier(10, 1, lambda c: SmallCNN(c, width=4)).parameters())


@pytest.mark.parametrize(
    ("strategy", "options", "scored"),
    [
        (Random(), {}, [0, 0, 0]),
        (Random(), {"pool_error": True}, [1257, 1232, 1207]),
        (KCenter(), {}, [1297, 1297, 0]),  # the labeled set too
        (Entropy(), {"pool_limit": 100}, [100, 100, 0]),
        (KCenter(), {"pool_limit": 100}, [140, 165, 0]),
    ],
)
def test_what_a_query_looks_at(make_loop, strategy, options, scored):
    assert make_plan(make_loop(strategy, **SIZES, **options), 1).scored == scored


def test_steps_may_be_limited(make_loop):
    assert make_plan(make_loop(Entropy(), **SIZES), max_epochs=3, max_steps=7).steps == [6, 7, 7]
    assert make_plan(make_loop(Entropy(), **SIZES), max_epochs=None, max_steps=7).steps == [7, 7, 7]


@pytest.mark.parametrize(
    ("strategy", "sizes", "warning"),
    [
        (Entropy(), {"initial_size": 5}, "5 labels for 10 classes"),
        (
            Entropy(),
            {"initial_size": 65, "last_batch": "keep"},
            "in 1 round the last batch of an epoch has at most 4 images",
        ),
        (MSALD(), SIZES, "no multiple of 10 classes: 5 labels"),
        (Entropy(), {**SIZES, "query_budget": 60}, "does not divide the budget: the last query selects 10"),
        (MSALD(beta=100), {**SIZES, "query_size": 50}, "holds the whole pool of 1257"),
    ],
)
def test_what_one_may_not_have_meant_is_said(make_loop, strategy, sizes, warning):
    assert any(warning in text for text in make_plan(make_loop(strategy, **sizes), 1).warnings)


def test_nothing_to_warn_of(make_loop):
    sizes = {"initial_size": 40, "query_size": 20, "query_budget": 40}
    assert make_plan(make_loop(MSALD(), **sizes), 1).warnings == []


def test_measuring_leaves_no_trace(make_loop, tmp_path):
    loop = make_loop(MSALD(), **SIZES)
    before = torch.get_rng_state()
    speed = measure(loop)
    assert speed.step > 0
    assert speed.image > 0
    assert torch.equal(torch.get_rng_state(), before)
    assert not list(tmp_path.iterdir())
    assert len(loop.data.pool) == 1297


def test_time_is_steps_and_images_at_the_measured_speed(make_loop, capsys):
    plan = make_plan(make_loop(Entropy(), **SIZES), max_epochs=3)
    show("title", plan, Speed(step=2.0, image=0.01))
    out = " ".join(capsys.readouterr().out.split())
    assert "3 fits, 24 optimizer steps" in out
    assert "2,489 images in 2 queries, 1,500 in 3 tests" in out
    assert "about 88 s: fits 48 s, queries and tests 40 s" in out


def test_command_plans_and_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["fit", "--config", "digits", "--trainer.accelerator", "cpu", "--plan"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "10 fits, 500 optimizer steps" in out
    assert "9,873 images in 9 queries" in out
    assert not list(tmp_path.iterdir())
