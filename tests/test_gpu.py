"""What only a GPU can show; left out where there is none."""

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, Trainer
from PIL import Image

from msal_lightning import ActiveLoop, LoopOptions, MSALClassifier, Query, RunDirectory, load, select_indices
from msal_lightning.cli.main import main
from msal_lightning.data import CropFlip
from msal_lightning.datasets import Digits
from msal_lightning.models.backbones import SmallCNN
from msal_lightning.seeding import stream
from msal_lightning.strategies import BADGE, BALD, MSALD, Entropy, KCenter, Random
from msal_lightning.strategies.outputs import PoolOutputs
from msal_lightning.training.lightning_noise import quiet_lightning
from msal_lightning.training.step_callback import StepCallback, steps_per_epoch

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")


class NoWaiting(Callback):
    """An error where a step waits for the GPU."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        assert batch.image.is_cuda
        torch.cuda.set_sync_debug_mode("error" if batch_idx else "default")  # the first step sets things up

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        torch.cuda.set_sync_debug_mode("default")


class NoWaitingInPoolPass(Callback):
    """An error where the pool pass waits for the GPU between its second batch and its end."""

    def __init__(self):
        self.batches = 0

    def on_predict_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        assert batch.image.is_cuda
        self.batches += 1
        if self.batches > 1:  # the first one sets things up
            torch.cuda.set_sync_debug_mode("error")

    def on_predict_end(self, trainer, pl_module):
        torch.cuda.set_sync_debug_mode("default")

    def on_exception(self, trainer, pl_module, exception):
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


def network():
    torch.manual_seed(0)
    return MSALClassifier(10, 1, lambda channels: SmallCNN(channels, width=8))


def fresh_digits(eval_batch_size=100):
    data = Digits(eval_batch_size=eval_batch_size)
    data.setup()
    data.reset(0)
    data.draw_initial(40)
    return data


def trainer_of(*callbacks):
    return Trainer(
        accelerator="gpu",
        devices=1,
        callbacks=[*callbacks],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )


@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")
@pytest.mark.parametrize("strategy", [Entropy(), MSALD(), BALD(), BADGE(), KCenter()], ids=lambda s: s.name)
def test_the_pool_pass_does_not_wait_for_the_gpu_after_each_batch(strategy):
    data, watching, query = fresh_digits(), NoWaitingInPoolPass(), Query(strategy, 25)
    with quiet_lightning():
        trainer_of(watching, query).predict(network(), datamodule=data, return_predictions=False)
    assert watching.batches == 13 + strategy.needs_labeled
    assert len(set(query.selection.index.tolist())) == 25
    assert query.pool_error is not None


class Kept(Callback):
    """Keeps the outputs of a pass, in one piece, on their device."""

    def __init__(self):
        self.parts = {0: [], 1: []}

    def on_predict_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
        self.parts[dataloader_idx].append(PoolOutputs(**outputs))


@pytest.mark.parametrize("strategy", [Entropy(), MSALD(), BADGE(), KCenter()], ids=lambda s: s.name)
def test_the_query_picks_what_the_cpu_picks_from_the_same_outputs(strategy):
    data, kept, query = fresh_digits("auto"), Kept(), Query(strategy, 60)
    with quiet_lightning():
        trainer_of(kept, query).predict(network(), datamodule=data, return_predictions=False)
    parts = {loader: [on_host(part) for part in parts] for loader, parts in kept.parts.items()}
    assert [len(part) for part in parts[0]] == [1257]  # one batch on a GPU
    labeled = PoolOutputs.cat(parts[1]) if parts[1] else None
    expected = select_indices(strategy, parts[0], labeled, 60, stream(0, "query", 0))
    assert query.selection.index.tolist() == expected.tolist()


def on_host(outputs):
    return PoolOutputs(
        outputs.index.cpu(),
        logits=outputs.logits.float().cpu().clone(),
        embeddings=outputs.embeddings.float().cpu().clone(),
    )


@pytest.mark.parametrize("strategy", [BADGE(), KCenter()], ids=lambda s: s.name)
@pytest.mark.parametrize("rows", [5_000, 60_000])
def test_embeddings_on_the_gpu_give_the_picks_of_embeddings_on_the_cpu(strategy, rows):
    generator = torch.Generator().manual_seed(rows)
    centers = torch.randn(20, 256, generator=generator)
    embeddings = torch.randn(rows, 256, generator=generator) + centers[torch.arange(rows) % 20]
    logits = torch.randn(rows, 10, generator=generator)
    known = torch.randn(500, 256, generator=generator)

    def picks(device):
        pool = PoolOutputs(torch.arange(rows), logits=logits, embeddings=embeddings.to(device))
        labeled = PoolOutputs(torch.arange(rows, rows + 500), logits=logits[:500], embeddings=known.to(device))
        labeled = labeled if strategy.needs_labeled else None
        return select_indices(strategy, [pool], labeled, 250, torch.Generator().manual_seed(1)).tolist()

    assert picks("cuda") == picks("cpu")


def test_embeddings_go_to_the_host_if_they_do_not_fit(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (10_000, 10**9))
    data, query = fresh_digits(), Query(KCenter(), 25)
    seen = []
    select = query.strategy.select
    monkeypatch.setattr(query.strategy, "select", lambda pool, *rest: seen.append(pool) or select(pool, *rest))
    with quiet_lightning():
        trainer_of(query).predict(network(), datamodule=data, return_predictions=False)
    assert [pool.embeddings.device.type for pool in seen] == ["cpu"]
    assert len(set(query.selection.index.tolist())) == 25


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_embedded_features_are_those_of_a_cpu(precision, tmp_path):
    words = ["embed", "--data", "Digits", "--model", "SmallCNN", "--size", "32", "--dtype", "float32"]
    assert main([*words, "--out", str(tmp_path / "cpu"), "--accelerator", "cpu", "--precision", "32-true"]) == 0
    assert main([*words, "--out", str(tmp_path / "gpu"), "--accelerator", "gpu", "--precision", precision]) == 0
    cpu, gpu = (torch.from_numpy(np.load(tmp_path / name / "features-000.npy")) for name in ("cpu", "gpu"))
    tolerance = 1e-3 if precision == "32-true" else 3e-2  # TF32 and bfloat16
    assert float((cpu - gpu).norm() / cpu.norm()) < tolerance
    assert torch.cuda.memory_allocated() < 2**28


def test_a_model_in_use_gives_on_a_gpu_what_it_gives_on_a_cpu(tmp_path):
    words = ["--config", "digits", "--trainer.max_epochs", "5", "--loop.query_budget", "40", "--trainer.precision"]
    assert main(["fit", *words, "32-true", "--run_dir", str(tmp_path / "run")]) == 0
    data = Digits()
    data.setup()
    on_cpu, on_gpu = (load(tmp_path / "run", device)(data.test.image, batch_size=64) for device in ("cpu", "cuda"))
    for there, here in zip(on_gpu[1:], on_cpu[1:], strict=True):
        torch.testing.assert_close(there, here, atol=1e-2, rtol=1e-2)  # cuDNN computes convolutions in TF32
    for index, image in enumerate(data.test.image[:100]):
        Image.fromarray(image[0].numpy()).save(tmp_path / f"{index:03d}.png")
    for precision, tolerance in (("32-true", 1e-2), ("bf16-mixed", 5e-2)):
        out = tmp_path / f"{precision}.csv"
        options = ["--device", "cuda", "--batch_size", "16", "--precision", precision, "--embeddings"]
        assert main(["predict", str(tmp_path / "run"), str(tmp_path / "0*.png"), "--out", str(out), *options]) == 0
        found = torch.from_numpy(np.load(out.with_suffix(".npy")))
        torch.testing.assert_close(found, on_cpu.embeddings[:100], atol=tolerance, rtol=tolerance)
