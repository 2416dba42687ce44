"""The files of labeling requests."""

import json
from pathlib import Path

import pytest

from msal_lightning.errors import RunError
from msal_lightning.oracles.base import Annotation, LabelingBatch, LabelingTask
from msal_lightning.runs.pending import (
    PendingRequest,
    all_pending,
    pending,
    pending_file,
    read_pending,
    write_pending,
)


@pytest.fixture
def request_of(tmp_path):
    """``request_of(name)``: with an annotated batch, and a second one that waits; written into a run."""

    def make(name):
        def batch(suffix, *indices):
            items = tuple(
                LabelingTask(i, f"{i}.png", Path(f"{i}.png"), "cat", 0.5, 0.9, rank) for rank, i in enumerate(indices)
            )
            return LabelingBatch(f"{name}{suffix}", items, ("cat", "dog"), tmp_path / "queries")

        first = PendingRequest(name, {"round": 3}, num_images=9).ask(batch("", 4, 7))
        request = first.annotate([Annotation("dog"), Annotation(None, "skip")]).ask(batch("-2", 5))
        write_pending(tmp_path, request)
        return request

    (tmp_path / "rounds").mkdir()
    return make


def test_a_request_is_read_as_it_was_written(request_of, tmp_path):
    request = request_of("round-003")
    assert read_pending(tmp_path, "round-003") == request
    assert request.pending == request.exchanges[1].batch
    assert [exchange.annotations for exchange in request.exchanges] == [
        (Annotation("dog"), Annotation(None, "skip")),
        None,
    ]
    assert read_pending(tmp_path, "initial") is None


def test_the_initial_set_is_first(request_of, tmp_path):
    assert pending(tmp_path) is None
    requests = [request_of(name) for name in ("round-000", "round-001", "initial")]
    assert all_pending(tmp_path) == [requests[2], requests[0], requests[1]]
    assert pending(tmp_path) == requests[2].pending


def change(file, **values):
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_text(file.read_text()[:50]),
        lambda file: change(file, name="round-002"),  # the file of another round
        lambda file: change(file, exchanges=[{"name": "../out", "class_names": [], "items": [], "answers": None}]),
        lambda file: change(file, exchanges=None),
    ],
    ids=["truncated", "of another round", "leads out", "no batches"],
)
def test_a_damaged_request_is_named(request_of, tmp_path, damage):
    request_of("round-003")
    file = pending_file(tmp_path, "round-003")
    damage(file)
    with pytest.raises(RunError, match=rf"'{file}' is damaged: delete it"):
        read_pending(tmp_path, "round-003")
