"""What a run's model knows of its run."""

import pytest
import torch

from msal_lightning.runs.reading import Run
from msal_lightning.runs.records import LabeledImages, RoundRecord, Skipped
from msal_lightning.runs.trained_model import Trained


def record(round, queried, **more):
    parts = {"initial": LabeledImages(), **more}
    return RoundRecord(round, 0, 0, {}, {}, None, [], LabeledImages([0], [0], path=queried), environment={}, **parts)


@pytest.fixture
def trained(tmp_path):
    first = record(
        0,
        ["queried"],
        initial=LabeledImages([1], [0], path=["initial"]),
        held_out=LabeledImages([2], [0], path=["held out"]),
        skipped=Skipped([3], ["skip"], ["skipped"]),
        class_names=["a", "b"],
    )
    run = Run(tmp_path, {}, [first, record(1, ["later"], class_names=["a", "b", "c"]), record(2, None)])
    return lambda weights: Trained(run, tmp_path / "round-001.ckpt", 1, weights)


def test_images_that_somebody_has_looked_at_are_known(trained):
    assert trained({}).labeled_paths == {"queried", "initial", "held out", "skipped", "later"}
    assert trained({}).labeled_prints() == {}  # of a version that stored none


def test_the_newest_class_names_count_but_the_model_has_its_own_number(trained):
    assert trained({}).class_names == ["a", "b", "c"]
    assert trained({"head.weight": torch.zeros(2, 8)}).num_classes == 2
    assert trained({"head.0.weight": torch.zeros(1, 8)}).num_classes == 2  # two prototypes lie on a line
