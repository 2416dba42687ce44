"""What a person sees."""

import io

import pytest
from rich.console import Console

from msal_lightning.io import progress_bar
from msal_lightning.loop import display
from msal_lightning.loop.display import Display, RoundProgress
from msal_lightning.runs.records import LabeledImages, RoundRecord


class Fit:
    """The part of a Trainer that the bar reads."""

    max_epochs = 3
    max_steps = -1
    num_training_batches = 4
    train_dataloader = None
    current_epoch = 0


@pytest.fixture
def terminal(monkeypatch):
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    for module in (display, progress_bar):
        monkeypatch.setattr(module, "shared_console", lambda: console)
    return console.file


@pytest.fixture
def pipe(monkeypatch):
    console = Console(file=io.StringIO(), force_terminal=False, width=100)
    for module in (display, progress_bar):
        monkeypatch.setattr(module, "shared_console", lambda: console)
    return console.file


def ride(progress):
    progress.on_train_start(Fit, None)
    for _ in range(12):
        progress.on_step_end(Fit, None, 0)
    progress.on_train_end(Fit, None)


def test_a_terminal_gets_a_bar(terminal):
    ride(RoundProgress(2, 9))
    assert "round 2/9 fit epoch 1/3" in terminal.getvalue()
    assert "100 %" in terminal.getvalue()


@pytest.mark.parametrize(
    ("max_epochs", "max_steps", "shown", "share"),
    [
        (-1, 10, "epoch 3/3", "100 %"),  # 4 + 4 + 2 steps
        (5, 10, "epoch 3/3", "100 %"),
        (2, 10, "epoch 2/2", "100 %"),
        (-1, -1, "epoch 3", "0 %"),  # max_time ends it
    ],
)
def test_the_bar_ends_with_the_first_limit(terminal, max_epochs, max_steps, shown, share):
    class Limited(Fit):
        pass

    Limited.max_epochs, Limited.max_steps = max_epochs, max_steps
    steps = min(end for end in (4 * max_epochs, max_steps, 10) if end > 0)
    progress = RoundProgress(2, 9)
    progress.on_train_start(Limited, None)
    for step in range(steps):
        Limited.current_epoch = step // 4
        progress.on_step_end(Limited, None, step % 4)
    progress.on_train_end(Limited, None)
    last = terminal.getvalue().split("fit ")[-1]
    assert last.startswith(f"{shown} ")
    assert share in last


def test_a_pipe_gets_no_control_characters(pipe):
    ride(RoundProgress(2, 9))
    assert "\x1b" not in pipe.getvalue()


def test_a_round_is_one_line_with_a_dash_for_what_nobody_knows():
    console = Console(file=io.StringIO(), width=100)
    seconds = {"fit": 12.34, "test": 1.0, "query": 0.567}
    Display(console).round(
        RoundRecord(3, 160, 90, {"accuracy": 0.97}, seconds, None, [], LabeledImages(), LabeledImages(), {})
    )
    assert console.file.getvalue().split() == ["3", "160", "0.9700", "–", "–", "12.3", "0.57"]
