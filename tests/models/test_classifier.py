"""The model: its two heads, its loss, its outputs for the pool, and its metrics."""

import math
from functools import partial

import pytest
import torch
from lightning.pytorch import Callback
from torch import nn

from msal_lightning.data import Batch
from msal_lightning.datasets import Digits, FashionMNIST
from msal_lightning.models.backbones import SmallCNN
from msal_lightning.models.classifier import MSALClassifier
from msal_lightning.models.prototypes import PrototypeHead, simplex_prototypes
from msal_lightning.strategies import MSAL, Entropy, LeastConfidence, Margin
from msal_lightning.strategies.outputs import PoolOutputs

HEADS = ["prototype", "linear"]
both_heads = pytest.mark.parametrize("head", HEADS)


def model(head="prototype", num_classes=10, **settings):
    torch.manual_seed(0)
    return MSALClassifier(num_classes, 1, backbone=partial(SmallCNN, width=4), head=head, **settings)


def images(n=6):
    return torch.randn(n, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def digits(initial=70):
    data = Digits(batch_size=32)
    data.setup()
    data.reset(0)
    data.draw_initial(initial)
    return data


fast_adam = partial(torch.optim.Adam, lr=0.02)


# ---------------------------------------------------------------- heads


@both_heads
@pytest.mark.parametrize("num_classes", [2, 3, 10, 300])
def test_one_logit_a_class(head, num_classes):
    logits = model(head, num_classes).eval()(images())
    assert logits.shape == (6, num_classes)
    assert logits.dtype == torch.float32


@both_heads
def test_logits_by_hand(head):
    net = model(head, num_classes=4, radius=0.5).eval()
    embeddings = net.embed(images())
    linear = net.head[0] if head == "prototype" else net.head
    expected = embeddings @ linear.weight.T + linear.bias
    if head == "prototype":
        expected = expected @ simplex_prototypes(4, 0.5).float()
    torch.testing.assert_close(net(images()), expected)


@both_heads
@pytest.mark.parametrize("num_classes", [2, 10, 300])
def test_head_computes_in_float32_under_autocast(head, num_classes):
    net = model(head, num_classes).eval()
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        embeddings = net.embed(images())
        logits = net(images())
        outputs = net.predict_step(Batch(torch.arange(6), images(), torch.full((6,), -1)), 0)
    with torch.no_grad():
        expected = net.head(embeddings.float())
    assert embeddings.dtype == torch.bfloat16  # autocast was on
    assert logits.dtype == outputs["logits"].dtype == outputs["embeddings"].dtype == torch.float32
    assert torch.equal(logits, expected)
    assert torch.equal(outputs["logits"], expected)


@both_heads
def test_trainable_is_the_network_and_one_linear_layer(head):
    net = model(head)
    shapes = {name: tuple(p.shape) for name, p in net.named_parameters() if not name.startswith("backbone.")}
    rows, prefix = (9, "head.0") if head == "prototype" else (10, "head")
    assert shapes == {f"{prefix}.weight": (rows, 16), f"{prefix}.bias": (rows,)}


@pytest.mark.parametrize("num_classes", [10, 300])
def test_prototypes_are_not_trained(num_classes):
    net = model("prototype", num_classes)
    (prototypes,) = (m for m in net.modules() if isinstance(m, PrototypeHead))
    assert list(prototypes.parameters()) == []
    optimized = [p for group in net.configure_optimizers().param_groups for p in group["params"]]
    assert {id(p) for p in optimized} == {id(p) for p in net.parameters()}
    assert not {id(p) for p in optimized} & {id(b) for b in prototypes.buffers()}
    assert not any(name.startswith("head.1") for name in net.state_dict())


def test_prototypes_stay_where_they_are(make_trainer):
    net = model("prototype")
    before = {name: value.clone() for name, value in (*net.named_buffers(), *net.named_parameters())}
    make_trainer(max_epochs=1).fit(net, datamodule=digits())
    assert torch.equal(net.head[1].prototypes, before["head.1.prototypes"])
    assert not torch.equal(net.head[0].weight, before["head.0.weight"])


@both_heads
def test_frozen_parameters_are_not_optimized(head):
    net = model(head)
    net.backbone.requires_grad_(False)
    optimized = [p for group in net.configure_optimizers().param_groups for p in group["params"]]
    assert {id(p) for p in optimized} == {id(p) for p in net.head.parameters()}


def test_adam_of_the_paper_is_the_default():
    optimizer = model().configure_optimizers()
    assert type(optimizer) is torch.optim.Adam
    assert optimizer.param_groups[0]["lr"] == 1e-3


@both_heads
@pytest.mark.parametrize("dropout", [-0.1, 1.0, 1.5, float("nan")])
def test_dropout_out_of_range(head, dropout):
    with pytest.raises(ValueError, match="dropout"):
        model(head, dropout=dropout)


@pytest.mark.parametrize("radius", [0.0, -1.0, float("inf"), float("nan")])
def test_radius_out_of_range(radius):
    with pytest.raises(ValueError, match="radius"):
        model(radius=radius)


@both_heads
def test_one_class_is_refused(head):
    with pytest.raises(ValueError, match="num_classes"):
        model(head, num_classes=1)


@both_heads
def test_dropout_stands_before_the_head_in_training_only(head):
    net = model(head, dropout=0.5)
    assert [m.p for m in net.modules() if isinstance(m, nn.Dropout)] == [0.5]
    net.backbone.eval()
    assert not torch.equal(net(images()), net(images()))
    net.eval()
    assert torch.equal(net(images()), net(images()))


# ---------------------------------------------------------------- training


class Losses(Callback):
    """Computes each step's loss by hand before the step."""

    def __init__(self):
        self.by_hand, self.reported, self.sizes = [], [], []

    @torch.no_grad()
    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        losses = []
        for o, label in zip(pl_module(batch.image).tolist(), batch.label.tolist(), strict=True):
            losses.append(math.log(sum(math.exp(v) for v in o)) - o[label])
        self.by_hand.append(sum(losses) / len(losses))
        self.sizes.append(len(losses))

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.reported.append(float(outputs["loss"]))


@both_heads
def test_loss_is_cross_entropy(head, make_trainer):
    losses, net = Losses(), model(head, dropout=0.0)
    trainer = make_trainer(max_epochs=1, callbacks=[losses])
    trainer.fit(net, datamodule=digits())
    assert losses.sizes == [24, 23, 23]
    assert losses.reported == pytest.approx(losses.by_hand, rel=1e-5)
    mean = sum(loss * n for loss, n in zip(losses.by_hand, losses.sizes, strict=True)) / 70
    assert float(trainer.callback_metrics["train_loss"]) == pytest.approx(mean, rel=1e-5)


@both_heads
def test_it_learns(head, make_trainer):
    data, net = digits(initial=320), model(head, optimizer=fast_adam)
    trainer = make_trainer(max_epochs=10)
    trainer.fit(net, datamodule=data)
    assert trainer.test(net, datamodule=data, verbose=False)[0]["accuracy"] > 0.5  # chance is 0.1


def test_schedule_steps_once_an_epoch(make_trainer):
    rates = []

    class Rates(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    net = model(
        optimizer=partial(torch.optim.SGD, lr=0.1),
        lr_scheduler=partial(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.1),
    )
    make_trainer(max_epochs=3, callbacks=[Rates()]).fit(net, datamodule=digits())
    assert rates == pytest.approx([0.1] * 3 + [0.01] * 3 + [0.001] * 3)


# ---------------------------------------------------------------- test and pool


@both_heads
def test_pool_outputs(head):
    net = model(head, dropout=0.5).eval()
    before_dropout = []
    net.dropout.register_forward_pre_hook(lambda module, args: before_dropout.append(args[0]))
    index = torch.tensor([900, 3, 20, 21, 7, 5])
    with torch.no_grad():
        outputs = net.predict_step(Batch(index, images(), torch.full((6,), -1)), 0)
        logits, embeddings = net(images()), net.embed(images())
    assert torch.equal(outputs["index"], index)
    assert torch.equal(outputs["embeddings"], before_dropout[0])
    assert torch.equal(outputs["embeddings"], embeddings)
    assert outputs["embeddings"].shape == (6, net.backbone.out_features)
    assert torch.equal(outputs["logits"], logits)


@both_heads
def test_pool_pass_does_not_read_the_labels(head):
    net = model(head).eval()
    unknown = net.predict_step(Batch(torch.arange(6), images(), torch.full((6,), -1)), 0)
    known = net.predict_step(Batch(torch.arange(6), images(), torch.arange(6)), 0)
    assert torch.equal(unknown["logits"], known["logits"])
    assert torch.equal(unknown["embeddings"], known["embeddings"])


class Outputs(Callback):
    """Keeps what the pool pass gives."""

    def __init__(self):
        self.seen = []

    def on_predict_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
        self.seen.append(outputs)

    def all(self, name):
        return torch.cat([outputs[name] for outputs in self.seen])


@both_heads
def test_pool_pass_of_the_trainer_is_in_evaluation_mode(head, make_trainer):
    data, net, outputs = digits(), model(head, dropout=0.5), Outputs()
    net.train()
    make_trainer(callbacks=[outputs]).predict(net, datamodule=data, return_predictions=False)
    net.eval()
    with torch.no_grad():
        image = (data.images[data.pool] / 255 - data.mean[0]) / data.std[0]
        torch.testing.assert_close(outputs.all("logits"), net(image), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(outputs.all("embeddings"), net.embed(image), rtol=1e-4, atol=1e-5)
    assert outputs.all("index").tolist() == data.pool.tolist()


def test_predict_returns_the_outputs(make_trainer):
    data, net = digits(), model()
    outputs = make_trainer().predict(net, datamodule=data)
    assert torch.cat([o["index"] for o in outputs]).tolist() == data.pool.tolist()


@both_heads
def test_metrics_by_hand(head, make_trainer):
    data, net = digits(), model(head, optimizer=fast_adam)
    trainer = make_trainer(max_epochs=8)
    trainer.fit(net, datamodule=data)
    data.eval_batch_size = 70  # the last of eight batches is a smaller one
    (metrics,) = trainer.test(net, datamodule=data, verbose=False)

    image = (data.test.image / 255 - data.mean[0]) / data.std[0]
    with torch.no_grad():
        logits = net.eval()(image)
    right, total, loss = [0] * 10, [0] * 10, 0.0
    for o, label in zip(logits.tolist(), data.test.label.tolist(), strict=True):
        total[label] += 1
        right[label] += o.index(max(o)) == label
        loss += math.log(sum(math.exp(v) for v in o)) - o[label]
    assert len(set(right)) > 3  # else the two accuracies could not be told apart
    assert metrics["accuracy"] == pytest.approx(sum(right) / 500, abs=1e-6)
    recalls = [r / t for r, t in zip(right, total, strict=True)]
    assert metrics["balanced_accuracy"] == pytest.approx(sum(recalls) / 10, abs=1e-6)
    assert metrics["balanced_accuracy"] != pytest.approx(metrics["accuracy"], abs=1e-6)
    assert metrics["test_loss"] == pytest.approx(loss / 500, rel=1e-4)


def test_metrics_start_anew_with_each_test(make_trainer):
    data, net = digits(), model()
    trainer = make_trainer(max_epochs=3)
    before = trainer.test(net, datamodule=data, verbose=False)
    trainer.fit(net, datamodule=data)
    after = trainer.test(net, datamodule=data, verbose=False)
    assert after != before
    assert make_trainer().test(net, datamodule=data, verbose=False) == after


# ---------------------------------------------------------------- two classes


@both_heads
def test_two_classes(head, make_trainer, idx_root):
    data = FashionMNIST(root=str(idx_root(n_train=60, n_test=40, size=8, num_classes=2)), batch_size=16)
    data.setup()
    data.reset(0)
    data.draw_initial(33)
    net = model(head, num_classes=2, dropout=0.0, optimizer=fast_adam)
    losses, outputs = Losses(), Outputs()
    trainer = make_trainer(max_epochs=8, callbacks=[losses, outputs])
    trainer.fit(net, datamodule=data)
    (metrics,) = trainer.test(net, datamodule=data, verbose=False)
    trainer.predict(net, datamodule=data, return_predictions=False)

    assert losses.sizes[:3] == [11, 11, 11]
    assert losses.reported == pytest.approx(losses.by_hand, rel=1e-4, abs=1e-5)
    assert metrics["accuracy"] > 0.8
    assert metrics["balanced_accuracy"] == pytest.approx(metrics["accuracy"])  # 20 test images a class
    logits = outputs.all("logits")
    assert logits.shape == (27, 2)
    assert logits.isfinite().all()
    if head == "prototype":
        torch.testing.assert_close(logits[:, 0], -logits[:, 1])


@both_heads
def test_scores_of_many_rows_do_not_collapse_into_ties_in_bf16(head):
    """bf16 has 8 bits: scores computed in it would take few values, and all ties go to the lower index."""
    torch.manual_seed(0)
    scorer = MSALClassifier(10, 1, lambda channels: SmallCNN(channels, width=8), head=head).eval()
    batches = [torch.randn(5_000, 1, 8, 8, generator=torch.Generator().manual_seed(k)) for k in range(4)]
    strategies = [Entropy(), Margin(), LeastConfidence(), *([MSAL()] if head == "prototype" else [])]
    different = {}
    for half in (False, True):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=half):
            none = torch.full((5_000,), -1)
            outputs = [scorer.predict_step(Batch(none, image, none), 0) for image in batches]
        logits = torch.cat([batch["logits"] for batch in outputs])
        assert logits.dtype == outputs[0]["embeddings"].dtype == torch.float32
        pool = PoolOutputs(torch.arange(20_000), logits=logits)
        different[half] = {strategy.name: len(strategy.score(pool, 0).unique()) for strategy in strategies}
    for name in different[True]:
        assert different[True][name] > 0.9 * different[False][name], name
    assert len(logits.softmax(dim=1).bfloat16().max(dim=1).values.unique()) < 500  # the check can fail
