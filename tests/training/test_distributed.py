"""Several processes: the same answers as one, and no hang."""

import csv
import json
import os
import subprocess
import sys
import textwrap

import pytest
import torch

from msal_lightning.data.batches.epoch_batches import EpochBatches
from msal_lightning.data.batches.loading import shard
from msal_lightning.training.distributed import Ranks, lost

TWO = ["--trainer.accelerator", "cpu", "--trainer.devices", "2", "--trainer.strategy", "ddp"]


def run(*command, cwd, **environment):
    """A command that ends by itself within two minutes."""
    return subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
        check=False,
    )


# ---------------------------------------------------------------- parts


@pytest.mark.parametrize("n", [1, 2, 3, 7, 8, 9, 33])
@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_every_process_takes_the_same_steps_on_all_images(n, ranks):
    index = torch.arange(100, 100 + n)
    parts = [list(EpochBatches(index, 4, 0, rank, ranks, per_device=True)) for rank in range(ranks)]
    sizes = [[len(batch) for batch in part] for part in parts]
    assert all(these == sizes[0] for these in sizes)
    assert min(sizes[0]) > 1  # BatchNorm
    assert len(sizes[0]) == len(EpochBatches(index, 4, 0, 0, ranks, per_device=True))
    assert set(torch.cat([batch for part in parts for batch in part]).tolist()) == set(index.tolist())
    if n > 2 * ranks:
        padding = sum(map(sum, sizes)) - n
        assert 0 <= padding < ranks


def test_two_processes_step_through_the_order_of_one():
    index = torch.arange(32)
    (one,) = EpochBatches(index, 32, 5)
    parts = [next(iter(EpochBatches(index, 16, 5, rank, 2, per_device=True))) for rank in range(2)]
    assert torch.stack(parts, dim=1).flatten().tolist() == one.tolist()


def test_parts_of_an_evaluation_overlap_nowhere():
    index = torch.arange(7)
    assert sorted(torch.cat([shard(index, rank, 3) for rank in range(3)]).tolist()) == index.tolist()
    assert len(shard(index[:1], 2, 3)) == 0


def test_one_process_gathers_and_decides_alone():
    ranks = Ranks()
    assert ranks.gather("x") == ["x"]
    assert ranks.on_zero(lambda: 7) == 7
    ranks.agree("a", "split")


def test_lost_processes_are_told_from_other_errors():
    assert lost(RuntimeError("[../gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:2951"))
    assert not lost(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not lost(KeyboardInterrupt("connection closed by peer"))


# ---------------------------------------------------------------- the same weights, one process and two

SCORES = """
import json, sys
import torch
from lightning.pytorch import Trainer, seed_everything
from msal_lightning import MSALClassifier
from msal_lightning.models.backbones import SmallCNN
from msal_lightning.datasets import Digits
from msal_lightning.query.callback import Query
from msal_lightning.training.distributed import Ranks
from msal_lightning.strategies import BADGE, BALD, CEAL, MSALD, DBAL, Entropy, KCenter, Random

if __name__ == "__main__":
    answers = {}
    seed_everything(0, verbose=False)
    model = MSALClassifier(10, 1, lambda channels: SmallCNN(channels, width=8))
    every = Entropy(), MSALD(), BADGE(), BALD(), DBAL(), KCenter(), CEAL(threshold=2.299), Random()
    for strategy in every if sys.argv[4] == "every" else every[-3:]:
        data = Digits(eval_batch_size=100)
        data.setup()
        data.reset(0)
        data.draw_initial(int(sys.argv[3]))
        ranks = None if strategy.needs else Ranks()  # a pass finds those of its Trainer
        query = Query(strategy, 25, 0, 0, ranks=ranks)
        trainer = Trainer(
            accelerator="cpu", devices=int(sys.argv[1]), strategy="ddp" if sys.argv[1] != "1" else "auto",
            logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
            use_distributed_sampler=False, callbacks=[query],
        )
        if strategy.needs:
            trainer.predict(model, datamodule=data, return_predictions=False)
        else:
            ranks.connect(trainer)
            query.select_without_pass(data)
        metrics = trainer.test(model, datamodule=data, verbose=False)[0]
        answers[strategy.name] = {
            "index": query.selection.index.tolist(), "error": query.pool_error, "seen": query.seen,
            "pseudo": [t.tolist() for t in query.selection.pseudo_labels or []], "split": data.labeled_at.tolist(),
            **metrics, "auroc": model.test_classes.auroc, "confusion": model.test_classes.confusion,
        }
    open(f"{sys.argv[2]}-{trainer.global_rank}", "w").write(json.dumps(answers))
"""


@pytest.fixture
def answers(commands, tmp_path):
    """``answers(devices, initial, strategies)``: what each rank says."""
    (tmp_path / "scores.py").write_text(SCORES)

    def answers(devices, initial, strategies="every"):
        words = "scores.py", str(devices), f"answers{devices}", str(initial), strategies
        done = commands.run(*words, cwd=tmp_path, ranks=devices)
        assert done.returncode == 0, done.stderr
        return [json.loads((tmp_path / f"answers{devices}-{rank}").read_text()) for rank in range(devices)]

    return answers


def test_two_processes_buy_what_one_buys_and_test_the_same(answers):
    (one,), (two, other) = answers(1, 40), answers(2, 40)
    assert len(one) == 8
    for name in one:
        losses = one[name].pop("test_loss"), two[name].pop("test_loss")
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)
        assert two[name].pop("auroc") == pytest.approx(one[name].pop("auroc"), abs=1e-3)  # of 22,500 pairs a class
        assert two[name] == one[name], name
    assert all(other[name]["split"] == two[name]["split"] for name in two)


def test_a_pool_smaller_than_the_number_of_processes(answers):
    (one,), (two, _) = answers(1, 1296, "some"), answers(2, 1296, "some")
    assert all(len(two[name]["index"]) == 1 for name in two)
    assert [two[name]["index"] for name in two] == [one[name]["index"] for name in one]


# ---------------------------------------------------------------- whole loops

SMALL = [
    "--config", "digits", "--loop.query_budget", "80", "--trainer.max_epochs", "2", "--model.backbone.width", "4",
    "--loop.pool_error", "true", "--data.batch_size", "32",
]  # fmt: skip


def without_seconds(file):
    with file.open() as lines:
        return [{k: v for k, v in row.items() if not k.startswith("seconds")} for row in csv.DictReader(lines)]


def test_a_loop_on_two_processes(tmp_path, commands):
    """By Lightning's own launcher, and with the variables that torchrun gives."""
    first = commands.run("-m", "msal_lightning", "fit", *SMALL, *TWO, "--run_dir", "a", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert first.stderr == ""
    assert len(first.stdout.splitlines()) == 8  # told once
    second = commands.run("-m", "msal_lightning", "fit", *SMALL, *TWO, "--run_dir", "b", cwd=tmp_path, ranks=2)
    same_run(second, tmp_path)
    record = json.loads((tmp_path / "a" / "rounds" / "001.json").read_text())
    assert record["environment"]["processes"] == "2"
    assert "\nbatches of 32 images, 16 on each of 2 devices; BatchNorm uses the 16 of its device" in first.stdout
    steps = [int(row["step"]) for row in without_seconds(tmp_path / "a" / "fits" / "000" / "metrics.csv")]
    assert steps[0] == 1  # 40 images, 2 steps, as on one device
    assert record["num_scored"] == 1217

    again = commands.run("-m", "msal_lightning", "fit", *SMALL, *TWO, "--run_dir", "a", cwd=tmp_path, ranks=2)
    assert again.returncode == 0
    assert again.stdout.startswith("The run in a is finished")


def same_run(done, tmp_path):
    """The run in b, which is done, is that in a."""
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 8
    assert (tmp_path / "a" / "ledger.csv").read_bytes() == (tmp_path / "b" / "ledger.csv").read_bytes()
    assert without_seconds(tmp_path / "a" / "curve.csv") == without_seconds(tmp_path / "b" / "curve.csv")


@pytest.mark.slow
def test_a_loop_under_torchrun(tmp_path, commands):
    words = ["-m", "msal_lightning", "fit", *SMALL, *TWO, "--run_dir"]
    assert commands.run(*words, "a", cwd=tmp_path, ranks=2).returncode == 0
    launcher = ["-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "29611"]
    same_run(commands.run(*launcher, *words, "b", cwd=tmp_path), tmp_path)


@pytest.mark.slow
def test_a_run_of_before_the_global_batch_size_keeps_its_batches(tmp_path):
    def fit(folder, *more):
        done = run("-m", "msal_lightning", "fit", *SMALL, *TWO, "--run_dir", folder, *more, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "batches of 64 images, 32 on each" in fit("a", "--data.batch_size_per_device", "true")
    expected = (tmp_path / "a" / "ledger.csv").read_bytes()
    config = tmp_path / "a" / "config.yaml"
    lines = config.read_text().splitlines(keepends=True)
    config.write_text("".join(line for line in lines if "batch_size_per_device" not in line))
    for round in ("001", "002"):
        (tmp_path / "a" / "rounds" / f"{round}.json").unlink()
    assert "batches of 64 images, 32 on each" in fit("a")
    assert (tmp_path / "a" / "ledger.csv").read_bytes() == expected
    assert "batches of 32 images, 16 on each" in fit("b")
    assert (tmp_path / "b" / "ledger.csv").read_bytes() != expected


def test_a_mistake_is_told_once(tmp_path, commands):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "photo.jpg").touch()
    done = commands.run("-m", "msal_lightning", "fit", *SMALL, *TWO, "--run_dir", "a", cwd=tmp_path, ranks=2)
    assert done.returncode == 2
    why = "has files that are not from a run of this program ('photo.jpg'): choose another run_dir"
    assert done.stderr == f"error: run_dir 'a' {why}\n"


MINE = {
    "splits": """
        import os
        from msal_lightning.datasets import Digits

        class Mine(Digits):
            def draw_initial(self, *arguments):
                index = super().draw_initial(*arguments)
                if os.environ.get("LOCAL_RANK", "0") == "1":
                    self.split.skip(self.pool[-1:])
                return index
    """,
    "death": """
        import os, signal
        from msal_lightning.datasets import Digits

        class Mine(Digits):
            def test_dataloader(self):
                if os.environ.get("LOCAL_RANK", "0") == "1":
                    os.kill(os.getpid(), signal.SIGKILL)
                return super().test_dataloader()
    """,
}


@pytest.mark.parametrize(
    ("case", "ranks", "message"),
    [
        ("splits", 2, "expected the same split on all 2 processes, got a different one on rank 1"),
        ("death", 2, "lost the others"),
        # Lightning's own launcher, which starts the second process, must end the first one
        pytest.param("death", 1, "lost the others", marks=pytest.mark.slow),
    ],
)
def test_what_breaks_processes_apart_is_named_and_nobody_hangs(tmp_path, commands, case, ranks, message):
    (tmp_path / "mine.py").write_text(textwrap.dedent(MINE[case]))
    words = ["-m", "msal_lightning", "fit", *SMALL, *TWO, "--data", "mine.Mine", "--run_dir", "a"]
    done = commands.run(*words, cwd=tmp_path, ranks=ranks)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("error:") == 1
