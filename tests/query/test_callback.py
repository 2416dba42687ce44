"""The Query callback on a real pool pass."""

import pytest
import torch
from lightning.pytorch import LightningModule

from msal_lightning import MSALClassifier, Query, select_indices
from msal_lightning.datasets import Digits
from msal_lightning.errors import UserError
from msal_lightning.models.backbones import SmallCNN
from msal_lightning.models.mc_dropout import DropoutMasks
from msal_lightning.query import output_blocks
from msal_lightning.seeding import stream
from msal_lightning.strategies import BADGE, BALD, CEAL, MSALD, Entropy, KCenter, Margin, Random
from msal_lightning.strategies.outputs import PoolOutputs
from msal_lightning.training.lightning_noise import quiet_lightning


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


def outputs_by_hand(model, data, index=None):
    images, _ = Digits().load()[0]
    index = data.pool.clone() if index is None else index
    model.eval()
    with torch.no_grad():
        embeddings = model.embed((images[index].float() / 255 - 0.305) / 0.376)
        return PoolOutputs(index, logits=model.head(embeddings), embeddings=embeddings)


class Keeper(Entropy):
    """Buys by entropy over dropout passes, and keeps what it saw."""

    def __init__(self, mc_samples=4):
        super().__init__(mc_samples)
        self.seen = []

    def score(self, pool, seed):
        self.seen.append(pool)
        return super().score(pool, seed)


def passes_of(make_trainer, model, data, mc_samples=4, seed=0, round=0, shared=False):
    strategy = Keeper(mc_samples)
    strategy.shared_masks = shared
    query_by_trainer(make_trainer, Query(strategy, 5, seed, round), model, data)
    return PoolOutputs.cat(strategy.seen).mc_logits


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


@pytest.mark.parametrize("strategy", [Entropy(), MSALD(), BALD(), CEAL(), BADGE(), KCenter()], ids=lambda s: s.name)
def test_blocks_of_many_batches_as_on_a_gpu_are_queried_like_batches(make_trainer, data, model, monkeypatch, strategy):
    sizes = []
    score = Query._score

    def watched(self, block, data):
        sizes.append(len(block.outputs["index"]))
        score(self, block, data)

    monkeypatch.setattr(Query, "_score", watched)

    def query():
        sizes.clear()
        found = query_by_trainer(make_trainer, Query(strategy, 25, receive=lambda *_: None), model, data)
        return found.selection.index.tolist(), found.pool_error

    expected = query()
    assert sizes[:13] == [100] * 12 + [57]
    monkeypatch.setattr(output_blocks, "_on_gpu", lambda tensor: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (10**9, 10**9))
    assert query() == expected
    assert sizes == [1257, *[40] * strategy.needs_labeled]


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
    query.select_without_pass(data)
    assert len(set(query.selection.index.tolist())) == 30
    assert query.selection.score is None
    assert (data.labeled_at[query.selection.index] == 1).all()


class Foreign(LightningModule):
    """A model that knows nothing of this package; ``reads`` makes what its predict_step returns."""

    def __init__(self, reads):
        super().__init__()
        torch.manual_seed(1)
        self.net = torch.nn.Linear(64, 10)
        self.reads = reads

    def predict_step(self, batch, batch_idx, dataloader_idx=0):
        return self.reads(self.net(batch.image.flatten(1)), batch)


@pytest.mark.parametrize(
    "reads",
    [lambda logits, batch: logits, lambda logits, batch: {"logits": logits, "index": batch.index}],
    ids=["logits", "mapping"],
)
def test_any_lightning_module_queries_what_a_loop_by_hand_queries(make_trainer, data, reads):
    model = Foreign(reads)
    images, _ = Digits().load()[0]
    with torch.no_grad():
        certain = model.net(((images.float() / 255 - 0.305) / 0.376).flatten(1)).softmax(1).sort(1).values
    margin = (certain[:, -1] - certain[:, -2])[data.pool]
    expected = data.pool[margin.argsort()[:25]].tolist()
    query = query_by_trainer(make_trainer, Query(Margin(), 25), model, data)
    assert query.selection.index.tolist() == expected
    assert sorted((data.labeled_at == 1).nonzero()[:, 0].tolist()) == sorted(expected)


def test_any_lightning_module_can_give_dropout_passes_of_its_own(make_trainer, data):
    def reads(logits, batch):
        return {"logits": logits, "mc_logits": torch.stack([logits, logits.roll(1, 1)])}

    query = query_by_trainer(make_trainer, Query(BALD(mc_samples=2), 25), Foreign(reads), data)
    assert len(query.selection.index) == 25


def test_what_a_model_does_not_return_is_named(make_trainer, data):
    def predict(strategy, reads):
        query_by_trainer(make_trainer, Query(strategy, 25), Foreign(reads), data)

    with pytest.raises(UserError, match=r"Foreign.predict_step\(\) to return embeddings, got index, logits"):
        predict(KCenter(), lambda logits, batch: logits)
    with pytest.raises(TypeError, match=r"to return logits, or a mapping of outputs by name, got list"):
        predict(Margin(), lambda logits, batch: [logits])
    assert len(data.labeled) == 40


def test_a_pass_over_a_part_of_the_pool_selects_nothing(make_trainer, data, model):
    trainer = make_trainer(callbacks=[Query(Margin(), 25)], limit_predict_batches=2)
    said = r"the pool pass to give all 1,257 images, got 200: .*limit_predict_batches"
    with quiet_lightning(), pytest.raises(UserError, match=said):
        trainer.predict(model, datamodule=data)
    assert len(data.labeled) == 40


def test_the_selection_goes_to_whoever_labels(make_trainer, data, model):
    taken = []
    query = Query(Margin(), 25, receive=lambda selection, data: taken.append(selection.index.tolist()))
    query_by_trainer(make_trainer, query, model, data)
    assert taken == [query.selection.index.tolist()]
    assert len(data.labeled) == 40


class SeesLabels(KCenter):
    """Takes the first images, and keeps what it saw."""

    needs_labels = True

    def select(self, shortlist, labeled, n, generator):
        self.saw = shortlist, labeled
        return torch.arange(n)


def test_labels_are_those_of_the_labeled_set_and_never_of_the_pool(make_trainer, data, model):
    data.eval_batch_size = 7
    strategy, labeled = SeesLabels(), data.labeled.clone()
    query_by_trainer(make_trainer, Query(strategy, 5), model, data)
    pool, known = strategy.saw
    assert known.index.tolist() == labeled.tolist()
    assert known.labels.tolist() == Digits().load()[0].label[labeled].tolist()
    assert (pool.labels, pool.num_classes, known.num_classes) == (None, 10, 10)


class CallsHead(KCenter):
    """Takes the first images, and calls the head."""

    needs_head = True

    def select(self, shortlist, labeled, n, generator):
        self.saw = shortlist, shortlist.require_head()(shortlist.embeddings)
        return torch.arange(n)


def test_a_strategy_may_call_the_head_of_the_model(make_trainer, data, model):
    strategy, expected = CallsHead(), outputs_by_hand(model, data)
    query_by_trainer(make_trainer, Query(strategy, 5), model, data)
    torch.testing.assert_close(strategy.saw[1], expected.logits)
    with pytest.raises(LookupError, match="set needs_head = True"):
        expected.require_head()


def test_a_model_without_a_head_is_named(make_trainer, data):
    with pytest.raises(UserError, match=r"expected Foreign to have a head, .* for query CallsHead, got none"):
        query_by_trainer(make_trainer, Query(CallsHead(), 5), Foreign(None), data)


def test_a_query_without_a_model_knows_the_number_of_classes(data):
    class Looks(Random):
        def select(self, shortlist, labeled, n, generator):
            self.saw = shortlist.require_num_classes()
            return super().select(shortlist, labeled, n, generator)

    strategy = Looks()
    Query(strategy, 5).select_without_pass(data)
    assert strategy.saw == 10


@pytest.mark.parametrize("strategy", [Margin(), CEAL()], ids=lambda strategy: strategy.name)
def test_errors_are_unknown_where_a_label_of_the_pool_is(make_trainer, data, model, strategy):
    data.hidden_labels.known[data.pool[7]] = False
    query = query_by_trainer(make_trainer, Query(strategy, 25, receive=lambda *_: None), model, data)
    assert query.seen == 1257
    assert query.pool_error is None


def test_a_strategy_that_needs_a_pass_does_not_go_without(data):
    with pytest.raises(ValueError, match="Margin needs a pool pass"):
        Query(Margin(), 5).select_without_pass(data)


def test_more_than_the_pool_buys_all_of_it(data):
    query = Query(Random(), 5000, 0, 0)
    query.select_without_pass(data)
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


# Passes with dropout


def test_the_model_makes_no_passes_after_the_query(make_trainer, data, model):
    query_by_trainer(make_trainer, Query(BALD(), 5), model, data)
    outputs = make_trainer().predict(model, datamodule=data)
    assert not any("mc_logits" in part for part in outputs)


def test_a_pass_is_the_head_behind_one_mask_for_all_images_if_the_strategy_wants_it(make_trainer, data, model):
    whole_pool = outputs_by_hand(model, data)
    passes = passes_of(make_trainer, model, data, shared=True)
    assert passes.shape == (4, 1257, 10)
    for t in range(4):
        kept = torch.bernoulli(torch.full((16,), 0.8), generator=stream(0, "dropout", 0, t)) > 0
        assert 0 < kept.sum() < 16
        with torch.no_grad():
            expected = model.head(torch.where(kept, whole_pool.embeddings / 0.8, 0))
        torch.testing.assert_close(passes[t], expected)


def test_a_pass_is_the_head_behind_a_mask_for_each_image_otherwise(make_trainer, data, model):
    whole_pool = outputs_by_hand(model, data)
    passes = passes_of(make_trainer, model, data)
    masks = DropoutMasks([stream(0, "dropout", 0, t) for t in range(4)], 0.2, 16, False, torch.device("cpu"))
    for t in range(4):
        for row in (0, 1, 700):
            one = slice(row, row + 1)
            with torch.no_grad():
                expected = model.head(masks.apply(whole_pool.embeddings[one], whole_pool.index[one], t))
            torch.testing.assert_close(passes[t, one], expected)


def test_passes_depend_on_seed_and_round_but_not_on_batches(make_trainer, data, model):
    first = passes_of(make_trainer, model, data)
    data.labeled_at[data.labeled_at == 1] = -1
    data.eval_batch_size = 31
    torch.testing.assert_close(passes_of(make_trainer, model, data), first)
    for key in ({"seed": 1}, {"round": 1}):
        data.labeled_at[data.labeled_at >= 1] = -1
        assert not torch.allclose(passes_of(make_trainer, model, data, **key), first)


def test_many_passes_average_to_the_model_without_dropout(make_trainer, data, model):
    linear = MSALClassifier(10, 1, lambda channels: SmallCNN(channels, width=4), head="linear", dropout=0.3)
    expected = outputs_by_hand(linear, data).logits
    passes = passes_of(make_trainer, linear, data, mc_samples=2000)
    assert ((passes.mean(dim=0) - expected).abs() < 5 * passes.std(dim=0) / 2000**0.5).all()


class WithInnerDropout(SmallCNN):
    """A backbone with dropout of its own, which stays off, and BatchNorm."""

    def forward(self, images):
        return torch.nn.functional.dropout(super().forward(images), 0.5, self.training)


def test_only_the_dropout_before_the_head_is_random_and_no_buffer_changes(make_trainer, data):
    model = MSALClassifier(10, 1, lambda channels: WithInnerDropout(channels, width=4))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first = passes_of(make_trainer, model, data)
    data.labeled_at[data.labeled_at == 1] = -1
    assert torch.equal(passes_of(make_trainer, model, data), first)
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_backbone_runs_once_whatever_the_number_of_passes(make_trainer, data, model):
    calls = []
    model.backbone.register_forward_hook(lambda *_: calls.append(1))
    passes_of(make_trainer, model, data, mc_samples=50)
    assert len(calls) == 13  # batches of 100


def test_passes_end_with_the_query(make_trainer, data, model):
    passes_of(make_trainer, model, data)
    seen = []

    class Looks(Margin):
        def score(self, pool, seed):
            seen.append(pool.mc_logits)
            return super().score(pool, seed)

    query_by_trainer(make_trainer, Query(Looks(), 5, 0, 0), model, data)
    assert seen
    assert all(mc_logits is None for mc_logits in seen)


def test_a_model_without_dropout_is_an_error_with_the_key(make_trainer, data):
    model = MSALClassifier(10, 1, lambda channels: SmallCNN(channels, width=4), dropout=0.0)
    with pytest.raises(UserError, match=r"model\.dropout to be above 0.*set it to 0\.2"):
        query_by_trainer(make_trainer, Query(BALD(), 5, 0, 0), model, data)


def test_passes_that_nobody_needs_are_refused():
    class Wants(Entropy):
        needs = frozenset({"mc_logits"})

    with pytest.raises(UserError, match="needs and mc_samples disagree"):
        Query(Wants(), 5, 0, 0)


# The labeled set


def test_a_strategy_gets_the_labeled_set_if_it_wants_it(make_trainer, data, model):
    whole_pool, labeled = outputs_by_hand(model, data), outputs_by_hand(model, data, data.labeled)
    expected = select_indices(KCenter(), [whole_pool], labeled, 25, stream(0, "query", 0))
    wrong = int((whole_pool.logits.argmax(dim=1) != Digits().load()[0].label[data.pool]).sum())
    query = query_by_trainer(make_trainer, Query(KCenter(), 25, 0, 0), model, data)
    assert query.selection.index.tolist() == expected.tolist()
    assert query.pool_error == wrong / 1257  # the labeled set does not count
    without = select_indices(KCenter(), [whole_pool], None, 25, stream(0, "query", 0))
    assert without.tolist() != expected.tolist()


def test_the_labeled_set_is_not_predicted_for_others(make_trainer, data, model):
    query_by_trainer(make_trainer, Query(KCenter(), 5, 0, 0), model, data)
    seen = []
    model.backbone.register_forward_hook(lambda _, images, __: seen.append(len(images[0])))
    query_by_trainer(make_trainer, Query(Margin(), 5, 0, 0), model, data)
    assert sum(seen) == len(data.labeled_at) - 45


# Pseudo-labels


def test_sure_predictions_train_the_next_fit(make_trainer, data, model):
    data.enter(round=1)
    whole_pool = outputs_by_hand(model, data)
    p = whole_pool.logits.double().softmax(dim=1)
    entropy, predicted = -(p * p.log()).sum(dim=1), p.argmax(dim=1)
    values = entropy.sort().values
    below = 400 + int((values[401:801] - values[400:800]).argmax())  # the widest gap: no rounding decides
    in_the_middle = values[below : below + 2].mean().item()
    strategy = CEAL(threshold=in_the_middle + 0.5, decay=0.5)
    query = query_by_trainer(make_trainer, Query(strategy, 25, 0, 1), model, data)

    queried = set(query.selection.index.tolist())
    pairs = zip(whole_pool.index.tolist(), entropy.tolist(), predicted.tolist(), strict=True)
    expected = {index: label for index, value, label in pairs if value < in_the_middle and index not in queried}
    assert 370 < len(expected) < 802
    index, labels = data.split.pseudo_labels
    assert dict(zip(index.tolist(), labels.tolist(), strict=True)) == expected
    truth = Digits().load()[0].label
    assert query.wrong_pseudo_labels == sum(int(truth[i]) != label for i, label in expected.items())

    assert (data.labeled_at[index] == -1).all()
    assert (data.labels[index] == -1).all()
    assert data.hidden_labels.num_revealed == 65
    batches = list(data.train_dataloader())
    trained = {int(i): int(c) for batch in batches for i, c in zip(batch.index, batch.label, strict=True)}
    assert trained == expected | {int(i): int(truth[i]) for i in data.labeled}


def test_pseudo_labels_last_for_one_fit(make_trainer, data, model):
    query_by_trainer(make_trainer, Query(CEAL(threshold=3.0), 25, 0, 0), model, data)
    assert len(data.split.pseudo_labels[0])
    split = data.state_dict()
    query_by_trainer(make_trainer, Query(Margin(), 25, 0, 1), model, data)
    assert not len(data.split.pseudo_labels[0])
    again = Digits()
    again.load_state_dict(split)
    assert again.split.pseudo_labels[0].tolist() == split["pseudo_index"].tolist()
    again.reset(0)
    assert not len(again.split.pseudo_labels[0])


def test_without_sure_predictions_there_are_none(make_trainer, data, model):
    query = query_by_trainer(make_trainer, Query(CEAL(threshold=0.05, decay=0.0033), 25, 0, 100), model, data)
    assert query.selection.pseudo_labels is not None
    assert not len(query.selection.pseudo_labels[0])
    assert query.wrong_pseudo_labels == 0
