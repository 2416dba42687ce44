"""The exceptions that a user may see."""

import pytest
from torch.utils.data import DataLoader, Dataset

from msal_lightning import LoopOptions
from msal_lightning.errors import AnnotationError, ConfigError, DataError, RunError, UserError
from msal_lightning.runs.records import read_records


@pytest.mark.parametrize("kind", [ConfigError, DataError, RunError, AnnotationError])
def test_one_class_catches_all(kind):
    with pytest.raises(UserError, match="expected one, got two: take one"):
        raise kind("expected one, got two: take one")


class Broken(Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, row):
        raise DataError("cannot read the image 'a.png' (Error: bad): replace it")


def test_a_reader_process_gives_the_sentence_alone():
    with pytest.raises(DataError) as caught:
        list(DataLoader(Broken(), num_workers=1))
    assert str(caught.value) == "cannot read the image 'a.png' (Error: bad): replace it"


def test_a_python_caller_can_tell_them_apart(tmp_path):
    with pytest.raises(ConfigError, match=r"loop\.checkpoint_seconds"):
        LoopOptions(initial_size=10, checkpoint_seconds=-1)
    (tmp_path / "rounds").mkdir()
    (tmp_path / "rounds" / "000.json").write_text("{")
    with pytest.raises(RunError, match="is damaged"):
        read_records(tmp_path)
    assert issubclass(RunError, UserError)
    assert not issubclass(RunError, ConfigError)
