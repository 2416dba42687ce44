"""Which saved fit is resumed. What resumed runs give is in ``tests/loop/test_interrupted_loop.py``."""

import pytest
import torch

from msal_lightning.training.checkpoint import SavedFit, read_fit

ORIGIN = {"round": 3, "split": "s", "config": "c", "processes": 1, "data": "d"}
ROWS = [{"epoch": 0.0, "train_loss": 2.5}]


@pytest.fixture
def save(tmp_path):
    """``save(**entry)``: a checkpoint after two epochs."""

    def save(**entry):
        entry = {**ORIGIN, "attempt": 1, "seconds": 1.5, "rows": ROWS} | entry
        torch.save({"epoch": 1, "msal_lightning": {k: v for k, v in entry.items() if v is not None}}, file)
        return file

    file = tmp_path / "fit.ckpt"
    return save


def test_the_same_fit_is_resumed(save, tmp_path):
    assert read_fit(save(), ORIGIN) == SavedFit(1, 2, 1.5, ROWS)
    assert read_fit(save(weights={}), ORIGIN) == SavedFit(1, 2, 1.5, ROWS, ended=True)
    assert read_fit(tmp_path / "none.ckpt", ORIGIN) is None


@pytest.mark.parametrize("key", [key for key in ORIGIN if key != "round"])
def test_another_fit_is_not(save, key):
    assert read_fit(save(**{key: "other"}), ORIGIN) == f"belongs to another run (its {key} differ)"


def test_a_fit_of_a_finished_round_is_passed_over(save):
    assert read_fit(save(round=2, split="earlier"), ORIGIN) is None
    assert read_fit(save(round=2, config="other"), ORIGIN) == "belongs to another run (its round, config differ)"
    assert read_fit(save(round=4), ORIGIN) == "belongs to another run (its round differ)"


def test_fits_of_older_versions_are_resumed(save):
    assert read_fit(save(data=None), ORIGIN) == SavedFit(1, 2, 1.5, ROWS)  # they did not store it
    assert read_fit(save(config="as then"), ORIGIN, {"config": lambda: "as then"}) == SavedFit(1, 2, 1.5, ROWS)
    assert isinstance(read_fit(save(config="other"), ORIGIN, {"config": lambda: "as then"}), str)


def test_a_file_that_is_damaged_or_of_another_program_is_said(save, tmp_path):
    file = save()
    content = file.read_bytes()
    (tmp_path / "cut").write_bytes(content[:-300])
    torch.save({"epoch": 1, "state_dict": {}}, tmp_path / "foreign")
    for name in ("cut", "foreign"):
        assert "is damaged or not from this program" in read_fit(tmp_path / name, ORIGIN)
