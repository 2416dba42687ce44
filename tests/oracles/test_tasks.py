"""The labeling tasks of a selection."""

from pathlib import Path

import pytest
import torch

from msal_lightning.datasets import Digits
from msal_lightning.errors import AnnotationError
from msal_lightning.oracles.tasks import make_items
from msal_lightning.query.shortlist import Selection


class Files(Digits):
    """Digits that claim to be files; two of them have one name."""

    def paths(self, index):
        return [f"{min(row, 8)}.png" for row in index.tolist()]

    def locations(self, index):
        return [Path("/photos") / path for path in self.paths(index)]


@pytest.fixture
def data():
    data = Files()
    data.setup()
    return data


def test_the_best_image_has_rank_0(data):
    tasks = make_items(data, Selection(torch.tensor([7, 3]), torch.tensor([0.974, 0.1])), None)
    told = [(task.index, task.path, task.rank, task.score) for task in tasks]
    assert told == [(7, "7.png", 0, 0.974), (3, "3.png", 1, 0.1)]
    assert [task.file for task in tasks] == [Path("/photos/7.png"), Path("/photos/3.png")]
    assert {(task.suggested, task.confidence) for task in tasks} == {(None, None)}  # before the first model


def test_two_images_of_one_path_are_refused(data):
    with pytest.raises(AnnotationError, match=r"a different path for each image, got '8\.png' twice"):
        make_items(data, Selection(torch.tensor([3, 9, 8]), None), None)
