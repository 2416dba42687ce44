"""Mistakes that can be found before anything is trained or written."""

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.errors import UserError
from msal_lightning.oracles.base import REASONS, Oracle
from msal_lightning.replay import Replay


def check_test_set(data: ActiveDataModule, initial_size: int, held_out: int, replay: Replay | None) -> None:
    """Before a person labels anything: whether there will be something to test on, and something to learn from.

    Args:
        data: set up.
        initial_size: labels in the initial set.
        held_out: of them, to test on.
        replay: what is trained on instead of querying.

    Raises:
        UserError: there is no test set, or two.
    """
    num_test = len(data.test.label)
    if replay and num_test:
        return  # what the replayed run held out is not learned from here either
    if num_test and held_out:
        raise UserError(
            f"expected loop.held_out to be 0 for data with a test set, got {held_out} beside {num_test} test "
            "images: leave loop.held_out out, or the test set"
        )
    if not num_test and replay and not held_out:
        raise UserError(
            f"expected a test set, got none, and the run in loop.replay '{replay.path}' held no labels out: "
            "set data.test_root, or give data.csv a column split with train and test"
        )
    if not num_test and not held_out:
        raise UserError(
            "expected a test set, got none: set data.test_root, give data.csv a column split with train and test, "
            "or set loop.held_out to the number of labels to test on"
        )
    if not num_test and not 0 < held_out < initial_size:
        raise UserError(
            f"expected loop.held_out to be 1 to {initial_size - 1}, below loop.initial_size, which it is part of, got "
            f"{held_out}: the first model learns from the rest"
        )


def check_labels(data: ActiveDataModule, oracle: Oracle, initial_size: int) -> None:
    """Whether the oracle fits what is known about the labels.

    Args:
        data: set up.
        oracle: who labels the rest.
        initial_size: labels in the initial set.

    Raises:
        UserError: it has nothing to do, or too little.
    """
    name = type(oracle).__name__
    known = int(data.truth.known[data.pool].sum())
    if oracle.instant and not data.truth.is_whole:
        raise UserError(
            f"expected the labels of all images for oracle {name}, {len(data.pool) - known} of {len(data.pool)} "
            "have none: set oracle to Files, which asks a person"
        )
    if oracle.instant:
        return
    if data.truth.is_whole:
        raise UserError(
            f"oracle {name} asks a person, but all labels are known: set oracle to Simulated, or data.unlabeled to true"
        )
    if known > initial_size:
        raise UserError(
            f"expected loop.initial_size to be at least {known}, the labels that are known, got "
            f"{initial_size}: the first model learns from all of them"
        )
    if data.num_classes < 2 and not oracle.allow_new_classes:
        raise UserError(
            f"expected at least two classes, got {data.num_classes}: name them in data.classes, or set "
            "oracle.allow_new_classes to true"
        )
    if taken := sorted({*REASONS} & {*data.class_names}):
        raise UserError(
            f"expected no class to be called '{taken[0]}', which says that an image is not to be used: rename it"
        )
