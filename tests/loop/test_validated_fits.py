"""A fit with a validation part ends with the weights of its best epoch."""

import csv

import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import EarlyStopping, EMAWeightAveraging
from lightning.pytorch.cli import ReduceLROnPlateau

from msal_lightning import MSALClassifier
from msal_lightning.datasets import Digits
from msal_lightning.errors import UserError


class Watch(Callback):
    """Computes loss and accuracy of the validation part by hand after each epoch, and keeps the weights."""

    def __init__(self):
        self.losses, self.accuracies, self.weights = [], [], []

    def on_train_epoch_end(self, trainer, pl_module):
        data = trainer.datamodule
        held = torch.cat([batch.index for batch in data.val_dataloader()[0]])
        mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (data.mean, data.std))
        pl_module.eval()
        with torch.no_grad():
            logits = pl_module((data.images[held] / 255 - mean) / std)
        pl_module.train()
        labels = data.labels[held].long()
        self.losses.append(float(F.cross_entropy(logits, labels)))
        self.accuracies.append(float((logits.argmax(1) == labels).double().mean()))
        self.weights.append({name: value.clone() for name, value in pl_module.state_dict().items()})


def rough(*args):
    """A model whose learning rate is so high that the last epoch is not the best."""
    return MSALClassifier(*args, optimizer=lambda parameters: torch.optim.Adam(parameters, lr=0.05))


@pytest.mark.parametrize("trainer", [{}, {"accumulate_grad_batches": 2}], ids=["whole epochs", "single steps"])
def test_the_best_epoch(make_loop, tmp_path, trainer):
    watch = Watch()
    data = Digits(batch_size=16, validation_fraction=0.5)
    loop = make_loop("run", data=data, model=rough, epochs=8, callbacks=[watch], query_budget=0, trainer=trainer)
    (record,) = loop.run()
    assert loop.fitter.whole_epochs == (not trainer)
    assert record.num_labeled == 40
    best = min(range(8), key=watch.losses.__getitem__)
    assert best < 7
    left = torch.load(tmp_path / "run/checkpoints/round-000.ckpt")["state_dict"]
    assert all(torch.equal(left[name], value) for name, value in watch.weights[best].items())
    with (tmp_path / "run/fits/000/metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["val_loss"]]
    assert [float(row["val_loss"]) for row in rows] == pytest.approx(watch.losses, rel=1e-4)
    assert [float(row["val_accuracy"]) for row in rows] == pytest.approx(watch.accuracies)


def test_a_fit_that_resumes_keeps_the_best_epoch_and_its_log(make_loop, killed, tmp_path):
    options = {"model": rough, "epochs": 6, "query_budget": 0}
    make_loop("whole", data=Digits(batch_size=16, validation_fraction=0.5), **options).run()
    for epoch in (1, 3, 5):
        killed(make_loop("broken", data=Digits(batch_size=16, validation_fraction=0.5), kill_at=(0, epoch), **options))
    make_loop("broken", data=Digits(batch_size=16, validation_fraction=0.5), **options).run()
    weights = [torch.load(tmp_path / name / "checkpoints/round-000.ckpt")["state_dict"] for name in ("whole", "broken")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    logs = [(tmp_path / name / "fits/000/metrics.csv").read_text() for name in ("whole", "broken")]
    assert logs[0] == logs[1]


def test_early_stopping_by_the_validation_loss(make_loop, tmp_path):
    stop = EarlyStopping("val_loss", patience=1)
    data = Digits(batch_size=16, validation_fraction=0.5)
    make_loop("run", data=data, model=rough, epochs=30, callbacks=[stop], query_budget=0).run()
    assert 0 < stop.stopped_epoch < 29


def test_a_schedule_by_the_validation_loss(make_loop):
    class Rates(Callback):
        def __init__(self):
            self.rates = []

        def on_train_epoch_start(self, trainer, pl_module):
            self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    def model(*args):
        schedule = lambda optimizer: ReduceLROnPlateau(optimizer, "val_loss", factor=0.1, patience=0)  # noqa: E731
        return MSALClassifier(
            *args, optimizer=lambda parameters: torch.optim.Adam(parameters, lr=0.05), lr_scheduler=schedule
        )

    watch, rates = Watch(), Rates()
    data = Digits(batch_size=16, validation_fraction=0.5)
    make_loop("run", data=data, model=model, epochs=8, callbacks=[watch, rates], query_budget=0).run()
    expected, lowest = [0.05], float("inf")
    for loss in watch.losses[:-1]:
        expected.append(expected[-1] * (1 if loss < lowest * (1 - 1e-4) else 0.1))
        lowest = min(lowest, loss)
    assert rates.rates == pytest.approx(expected)
    assert len(set(expected)) > 1


def test_what_needs_or_forbids_a_validation_part(make_loop):
    with pytest.raises(UserError, match=r"nothing is left out to validate on: set data.validation_fraction, or"):
        make_loop("a", callbacks=[EarlyStopping("val_loss")])
    with pytest.raises(UserError, match=r"but the test set must not decide"):
        make_loop("b", data=Digits(validation_fraction=0.5), callbacks=[EarlyStopping("test_loss")])
    with pytest.raises(UserError, match=r"without EMAWeightAveraging beside data.validation_fraction, because"):
        make_loop("c", data=Digits(validation_fraction=0.5), callbacks=[EMAWeightAveraging()])
    with pytest.raises(UserError, match=r"data.validation_fraction 0.1 of the 9 labels of the first fit to be at"):
        make_loop("d", data=Digits(validation_fraction=0.1), initial_size=9)
