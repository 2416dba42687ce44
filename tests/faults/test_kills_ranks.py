"""SIGKILL of one or all of two processes: nobody hangs, and the same command goes on and gives the same."""

import json
import random
import time
from collections import Counter
from pathlib import Path

import pytest

KILL_AT = Path(__file__).with_name("kill_at.py")
COMMAND = [
    "fit", "--config", "digits", "--run_dir", "run", "--loop.query_budget", "80", "--loop.checkpoint_seconds", "0",
    "--loop.pool_error", "true", "--trainer.max_epochs", "4", "--trainer.accelerator", "cpu", "--trainer.devices", "2",
    "--trainer.strategy", "ddp", "--model.backbone.width", "4", "--data.batch_size", "16",
]  # fmt: skip
PHASES = (
    "start", "mid-epoch", "epoch end", "fit end", "test", "pool pass", "selection", "model save", "record write"
)  # fmt: skip


def wait_for_the_end(group, limit=60):
    """Until no process of a group is left; an error when that takes too long."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        alive = []
        for file in Path("/proc").glob("[0-9]*/stat"):
            try:
                _, _, rest = file.read_text().rpartition(") ")
            except OSError:  # it has ended meanwhile
                continue
            state, _, its_group = rest.split()[:3]
            alive += [file] if int(its_group) == group and state != "Z" else []
        if not alive:
            return
        time.sleep(0.2)
    raise TimeoutError(f"processes of group {group} are left")


@pytest.mark.faults
def test_kills_of_ranks(commands, differences, faults_table, tmp_path):
    def run(folder):
        done = commands.run("-m", "msal_lightning", *COMMAND, cwd=folder, ranks=2)
        assert done.returncode == 0, done.stderr

    whole = tmp_path / "whole"
    whole.mkdir()
    run(whole)
    draw, counts, passed, wrong = random.Random(0), Counter(), 0, []
    specs = [{"phase": phase, "event": draw.randint(1, 30)} for phase in PHASES for _ in range(2)]
    specs += [{"seconds": draw.uniform(0, 3)} for _ in range(6)]
    for k, spec in enumerate(specs):
        who = ("rank 0", "rank 1", "both")[k % 3]
        spec |= {"rank": int(who == "rank 1"), "all": who == "both", "note": str(tmp_path / f"note{k}")}
        folder = tmp_path / str(k)
        folder.mkdir()
        process = commands.start(KILL_AT, json.dumps(spec), *COMMAND, cwd=folder)  # it starts rank 1 itself
        try:
            _, said = process.communicate(timeout=240)
        finally:
            process.kill_group()
        if not (tmp_path / f"note{k}").exists():  # the phase has fewer lines on this rank
            assert process.returncode == 0, said
            continue
        assert process.returncode != 0
        counts[who] += 1
        wait_for_the_end(process.pid)
        run(folder)
        changed = differences(folder / "run", whole / "run")
        passed += not changed
        wrong += [(spec, changed)] if changed else []
    faults_table("SIGKILL, two processes", {**counts, "kills": counts.total(), "same result": passed})
    assert not wrong
    assert passed >= 20
