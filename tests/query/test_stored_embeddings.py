"""Embeddings that a query reads from the files of the dataset, against those of the pool pass."""

import functools

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from msal_lightning import MSALClassifier, Query
from msal_lightning.datasets import Embeddings
from msal_lightning.errors import DataError
from msal_lightning.models.backbones import MLP
from msal_lightning.query.callback import PartOfQuery
from msal_lightning.strategies import (
    BADGE,
    DBAL,
    SEALS,
    TCM,
    KCenter,
    KMeans,
    KMeansFaiss,
    ProbCover,
    TypiClust,
    UHerding,
    shared,
)
from msal_lightning.strategies.rows import IndexedRows
from msal_lightning.training.lightning_noise import quiet_lightning

X, Y = load_digits(return_X_y=True)


class Subclass(MSALClassifier):
    """The same model, for all that a query knows another one."""


def query(make_trainer, folder, strategy, make=MSALClassifier, hidden=(), **options):
    """The selection of a pool pass, and the type of the embeddings that the strategy got."""
    data = Embeddings(str(folder), eval_batch_size=100, **options)
    data.setup()
    data.reset(0)
    data.draw_initial(40)
    torch.manual_seed(0)
    seen = []

    class Watched(strategy):
        def select(self, shortlist, labeled, n, generator):
            seen.append(type(shortlist.embeddings))
            return super().select(shortlist, labeled, n, generator)

    found = Query(Watched(), 30, receive=lambda *_: None)
    with quiet_lightning():
        model = make(10, 64, functools.partial(MLP, hidden=hidden))
        make_trainer(callbacks=[found]).predict(model, datamodule=data, return_predictions=False)
    return found.selection.index.tolist(), seen[0], found.pool_error


@pytest.fixture
def folder(tmp_path):
    np.save(tmp_path / "features-000.npy", X[:1000].astype("float16"))
    np.save(tmp_path / "features-001.npy", X[1000:].astype("float16"))
    np.save(tmp_path / "labels.npy", Y)
    return tmp_path


@pytest.mark.parametrize("held", [100_000, 300], ids=["held", "by rows"])
@pytest.mark.parametrize("strategy", [KCenter, BADGE, KMeans, KMeansFaiss, TypiClust, ProbCover, UHerding, SEALS, TCM])
def test_picks_are_those_of_the_pass(make_trainer, folder, monkeypatch, strategy, held):
    monkeypatch.setattr(shared.kmeans, "HELD_ROWS", held)
    monkeypatch.setattr(shared.kmeans, "_PER_CLUSTER", 5)
    index, kind, error = query(make_trainer, folder, strategy)
    expected, kept, expected_error = query(make_trainer, folder, strategy, Subclass)
    assert (kind, kept) == (IndexedRows, torch.Tensor)
    assert index == expected
    assert error == expected_error


def test_a_part_of_the_pass_sends_its_embeddings(make_trainer, folder):
    data = Embeddings(str(folder), eval_batch_size=100)
    data.setup()
    data.reset(0)
    data.draw_initial(40)
    torch.manual_seed(0)
    model = MSALClassifier(10, 64, MLP)
    whole = Query(KCenter(), 30, receive=lambda *_: None)
    parts = []
    with quiet_lightning():
        make_trainer(callbacks=[whole]).predict(model, datamodule=data, return_predictions=False)
        for k in range(2):
            part = PartOfQuery(KCenter(), 30)
            data.enter(part=(k, 2))
            make_trainer(callbacks=[part]).predict(model, datamodule=data, return_predictions=False)
            parts.append(part.part)
    data.enter(part=(0, 1))
    merged = Query(KCenter(), 30, receive=lambda *_: None)
    merged.select_from(parts, data)
    assert merged.selection.index.tolist() == whole.selection.index.tolist()


def test_other_embeddings_are_those_of_the_pass(make_trainer, folder):
    assert query(make_trainer, folder, KCenter, hidden=(8,))[1] is torch.Tensor
    assert query(make_trainer, folder, DBAL)[1] is torch.Tensor
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    column = pa.FixedSizeListArray.from_arrays(pa.array(X.astype("float32").ravel()), 64)
    for file in folder.glob("features*"):
        file.unlink()
    parquet.write_table(pa.table({"features": column}), folder / "features.parquet")
    assert query(make_trainer, folder, KCenter)[1] is torch.Tensor


def test_a_row_that_is_not_finite_is_named(make_trainer, folder):
    changed = X[:1000].astype("float16")
    changed[700, 3] = np.nan
    np.save(folder / "features-000.npy", changed)
    with pytest.raises(DataError, match=r"got NaN or infinity in row 700 \(counted"):
        query(make_trainer, folder, KCenter, standardize=False, test_fraction=0.01)
