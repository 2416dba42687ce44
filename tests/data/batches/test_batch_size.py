"""What a batch size means on several devices, and in run directories of before there was a choice."""

import pytest

from msal_lightning.data.batches.batch_size import (
    LAST_BATCH,
    PER_DEVICE,
    as_it_began,
    began_without,
    check_batch_size,
    only_where_it_matters,
    say_batch_size,
    without_key,
)
from msal_lightning.errors import UserError
from msal_lightning.runs.changes import changed, without_defaults


@pytest.mark.parametrize(
    ("size", "processes", "remedy"), [(33, 2, 32), (10, 4, 8), (3, 2, 4), (2, 2, 4), (128, 3, 129)]
)
def test_a_batch_that_does_not_divide_is_refused_with_one_that_does(size, processes, remedy):
    with pytest.raises(UserError, match=rf"multiple of {processes} processes .* got {size}: set it to {remedy},"):
        check_batch_size(size, False, processes)
    check_batch_size(remedy, False, processes)
    check_batch_size(size, True, processes)
    check_batch_size(size, False, 1)


def test_the_line_tells_all_images_of_a_step_and_batchnorms_share():
    assert say_batch_size(128, False, 2, False).startswith("batches of 128 images, 64 on each of 2 devices; BatchNorm")
    assert "BatchNorm uses the 64 of its device" in say_batch_size(128, False, 2, False)
    assert "BatchNorm uses all 128 (trainer.sync_batchnorm)" in say_batch_size(128, False, 2, True)
    assert say_batch_size(128, True, 2, True).startswith("batches of 256 images, 128 on each of 2 devices")


def test_a_directory_without_the_key_was_made_per_device():
    assert began_without(PER_DEVICE, {"seed": 0}, {PER_DEVICE: False})
    assert not began_without(PER_DEVICE, {"seed": 0, PER_DEVICE: False}, {PER_DEVICE: False})
    assert not began_without(PER_DEVICE, {}, {PER_DEVICE: False})  # a new directory
    assert not began_without(PER_DEVICE, {"seed": 0}, {"seed": 0})  # a data class of one's own without the key


def test_the_key_goes_and_nothing_else():
    config = {"data": {"class_path": "A", "init_args": {"batch_size": 3, "batch_size_per_device": False}}, "seed": 1}
    assert without_key(config, PER_DEVICE) == {"data": {"class_path": "A", "init_args": {"batch_size": 3}}, "seed": 1}
    assert config["data"]["init_args"]["batch_size_per_device"] is False
    assert without_key({"seed": 1}, PER_DEVICE) == {"seed": 1}


def test_runs_of_one_process_are_equal_with_and_without_the_key():
    assert only_where_it_matters({"a": 1, PER_DEVICE: False}, True) == only_where_it_matters({"a": 1}, True) == {"a": 1}
    assert only_where_it_matters({"a": 1}, False) == only_where_it_matters({"a": 1, PER_DEVICE: True}, False)
    assert only_where_it_matters({"a": 1}, False) != only_where_it_matters({"a": 1, PER_DEVICE: False}, False)


def test_a_replay_cuts_batches_as_its_run_did():
    ours = {"class_path": "msal_lightning.datasets.digits.Digits", "init_args": {"batch_size": 3}}
    assert as_it_began(ours)["init_args"] == {"batch_size": 3, "last_batch": "keep"}
    balanced = {**ours, "init_args": {"last_batch": "balanced"}}
    assert as_it_began(balanced) == balanced
    theirs = {"class_path": "mine.Data", "init_args": {}}  # may not know the option
    assert as_it_began(theirs) == theirs


def test_a_run_without_last_batch_equals_one_that_keeps_it_and_no_other():
    of = {"data.class_path": "msal_lightning.datasets.digits.Digits"}
    assert not changed(of, {**of, LAST_BATCH: "keep"})
    assert set(changed(of, {**of, LAST_BATCH: "balanced"})) == {LAST_BATCH}
    assert without_defaults({**of, LAST_BATCH: "keep"}) == without_defaults(of)
