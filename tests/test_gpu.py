"""What only a GPU can show; left out where there is none."""

import pytest
import torch
from lightning.pytorch import Callback, Trainer

from msal_lightning import ActiveLoop, LoopOptions, MSALClassifier, RunDirectory
from msal_lightning.data import CropFlip
from msal_lightning.datasets import Digits
from msal_lightning.models.backbones import SmallCNN
from msal_lightning.strategies import BADGE, Random
from msal_lightning.training.step_callback import StepCallback, steps_per_epoch

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")


class NoWaiting(Callback):
    """An error where a step waits for the GPU."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        assert batch.image.is_cuda
        torch.cuda.set_sync_debug_mode("error" if batch_idx else "default")  # the first step sets things up

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        torch.cuda.set_sync_debug_mode("default")


class NoWaitingInEpochs(StepCallback):
    """The same where Lightning runs a whole epoch as one batch."""

    def on_step_end(self, trainer, loss, step):
        assert loss.is_cuda
        last = step + 1 == steps_per_epoch(trainer)
        torch.cuda.set_sync_debug_mode("default" if last else "error")


def loop(path, strategy):
    return ActiveLoop(
        lambda: MSALClassifier(10, 1, lambda channels: SmallCNN(channels, width=8)),
        lambda **settings: Trainer(max_epochs=3, accelerator="gpu", devices=1, **settings),
        Digits(batch_size=32, augmentation=CropFlip(padding=1)),
        strategy,
        RunDirectory(path),
        LoopOptions(initial_size=200, query_size=40, query_budget=80),
    )


@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")  # torch's own word on its check
@pytest.mark.parametrize("watching", [NoWaiting, NoWaitingInEpochs])
def test_a_step_does_not_wait_for_the_gpu(tmp_path, watching):
    run = loop(tmp_path / "run", Random())
    without = run.fitter.make_trainer
    run.fitter.make_trainer = lambda callbacks, **settings: without(callbacks=[watching(), *callbacks], **settings)
    assert len(run.run()) == 3
    assert run.fitter.whole_epochs == (watching is NoWaitingInEpochs)


def test_images_stay_on_the_gpu_and_are_queried_as_on_the_cpu(tmp_path):
    run = loop(tmp_path / "run", BADGE())
    records = run.run()
    assert [copy.device.type for _, copy in run.data._resident._copies.values()] == ["cuda", "cuda"]
    assert len(set(records[0].queried.index)) == 40
