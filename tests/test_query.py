"""The Query callback on a real pool pass."""

import pytest
import torch

from msal_lightning import MSALClassifier, Query, select_indices
from msal_lightning.backbones import SmallCNN
from msal_lightning.data import Digits
from msal_lightning.errors import UserError
from msal_lightning.pool import PoolOutputs
from msal_lightning.quiet import quiet_lightning
from msal_lightning.strategies import MSALD, Entropy, Margin, Random
from msal_lightning.streams import stream


@pytest.fixture
def data():
    data = Digits(eval_batch_size=100)
    data.setup()
    data.reset(0)
    data.draw_initial(40)
    return data


@pytest.fixture
def model():
    torch.manual_seed(0)
    return MSALClassifier(10, 1, lambda channels: SmallCNN(channels, width=4))


def query_by_trainer(make_trainer, query, model, data):
    with quiet_lightning():
        make_trainer(callbacks=[query]).predict(model, datamodule=data, return_predictions=False)
    return query


def outputs_by_hand(model, data):
    images, _ = Digits().load()[0]
    model.eval()
    with torch.no_grad():
        embeddings = model.embed((images[data.pool].float() / 255 - 0.305) / 0.376)
        return PoolOutputs(index=data.pool.clone(), logits=model.head(embeddings), embeddings=embeddings)


@pytest.mark.parametrize("strategy", [MSALD(), Margin(), MSALD(Entropy(), beta=3)], ids=lambda s: s.name)
def test_buys_what_select_indices_chooses(make_trainer, data, model, strategy):
    whole_pool = outputs_by_hand(model, data)
    expected = select_indices(strategy, [whole_pool], None, 25, stream(0, "query", 0))
    query = query_by_trainer(make_trainer, Query(strategy, 25, 0, 0), model, data)
    assert query.selection.index.tolist() == expected.tolist()
    truth = Digits().load()[0].label
    assert data.labels[expected].tolist() == truth[expected].tolist()
    assert (data.labeled_at[expected] == 1).all()
    assert len(data.labeled) == 65


def test_counts_errors_on_the_pool_before_the_query(make_trainer, data, model):
    predictions = outputs_by_hand(model, data).logits.argmax(dim=1)
    wrong = int((predictions != Digits().load()[0].label[data.pool]).sum())
    query = query_by_trainer(make_trainer, Query(Margin(), 25, 0, 0), model, data)
    assert query.pool_error == wrong / 1257


def test_without_budget_it_only_looks(make_trainer, data, model):
    query = query_by_trainer(make_trainer, Query(Margin(), 0, 0, 0), model, data)
    assert query.pool_error is not None
    assert len(query.selection.index) == 0
    assert len(data.labeled) == 40


def test_random_buys_without_a_pass(data):
    query = Query(Random(), 30, 0, 0)
    query.without_pool_pass(data)
    assert len(set(query.selection.index.tolist())) == 30
    assert query.selection.score is None
    assert (data.labeled_at[query.selection.index] == 1).all()


def test_more_than_the_pool_buys_all_of_it(data):
    query = Query(Random(), 5000, 0, 0)
    query.without_pool_pass(data)
    assert len(query.selection.index) == 1257
    assert len(data.pool) == 0


def test_a_need_that_no_model_meets_is_named():
    class Wants(Entropy):
        needs = frozenset({"logits", "gradients"})

    with pytest.raises(UserError, match=r"Wants.needs names gradients"):
        Query(Wants(), 5, 0, 0)


def test_only_what_was_declared_is_handed_over(make_trainer, data, model):
    class Careless(Entropy):
        def score(self, pool, seed):
            assert pool.embeddings is None
            pool.require("embeddings")

    with pytest.raises(LookupError, match="add 'embeddings' to the strategy's needs"):
        query_by_trainer(make_trainer, Query(Careless(), 5, 0, 0), model, data)
