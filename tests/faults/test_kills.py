"""SIGKILL at any instant: the same command goes on and gives what it would have given."""

import importlib.util
import json
import random
from collections import Counter
from pathlib import Path

import pytest

_spec = importlib.util.spec_from_file_location("kill_at", Path(__file__).with_name("kill_at.py"))
kill_at = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(kill_at)

COMMAND = [
    "fit", "--config", "digits", "--run_dir", "run", "--loop.query_budget", "80", "--loop.checkpoint_seconds", "0",
    "--loop.pool_error", "true", "--trainer.max_epochs", "4", "--trainer.accelerator", "cpu",
    "--model.backbone.width", "4", "--data.batch_size", "16",
    "--model.lr_scheduler", "torch.optim.lr_scheduler.StepLR", "--model.lr_scheduler.step_size", "1",
    "--model.lr_scheduler.gamma", "0.7",
]  # fmt: skip
STRATEGIES = {
    "MSALD": [],
    "Entropy": ["--query", "Entropy"],
    "BADGE": ["--query", "BADGE"],
    "CEAL": ["--query", "CEAL", "--query.threshold", "2.299", "--query.decay", "0"],
    "BALD": ["--query", "BALD"],
}
ALL = [(strategy, workers) for strategy in STRATEGIES for workers in (0, 2)]


@pytest.fixture(scope="session")
def reference(serve, tmp_path_factory, digit_files):
    """``reference(strategy, workers)``: the command, its uninterrupted run, and how many lines each phase has."""
    known = {}

    def make(strategy, workers):
        if (strategy, workers) not in known:
            folder = tmp_path_factory.mktemp("reference")
            command = [*COMMAND, *STRATEGIES[strategy]]
            if workers:
                command += ["--data", "ImageFolder", "--data.root", str(digit_files / "train"), "--data.test_root"]
                command += [str(digit_files / "test"), "--data.size", "8", "--data.channels", "1", "--data.batch_size"]
                command += ["16", "--data.in_memory", "false", "--data.num_workers", str(workers)]
            assert serve(command, folder, {"count": str(folder / "count")}) == 0, (folder / "log").read_text()
            known[strategy, workers] = command, folder, json.loads((folder / "count").read_text())
        return known[strategy, workers]

    return make


def killed_and_resumed(run, command, folder, specs):
    """Kill the command by each spec in turn, then let it end; the phases in which it died."""
    note = folder / "note"
    note.touch()
    for spec in specs:
        code = run(command, folder, {**spec, "note": str(note)})
        assert code in (-9, 0), (folder / "log").read_text()
    code = run(command, folder)
    assert code == 0, (folder / "log").read_text()
    return note.read_text().split("\n")[:-1]


def test_a_kill_in_any_phase_changes_nothing(reference, serve, differences, tmp_path):
    """The short version: one loop, killed once in every phase in the order in which they come."""
    command, whole, lines = reference("MSALD", 0)
    assert set(lines) >= set(kill_at.PHASES)
    draw = random.Random(0)
    twelfth = {phase: lines[phase] // 12 for phase in kill_at.PHASES}  # an epoch: no phase is over before its turn
    specs = [{"phase": phase, "event": draw.randint(1, count)} for phase, count in twelfth.items()]
    died = killed_and_resumed(serve, command, tmp_path, specs)
    assert died == list(kill_at.PHASES)
    assert differences(tmp_path / "run", whole / "run") == []


@pytest.mark.faults
def test_pseudo_labels_really_occur_in_these_runs(reference):
    _, folder, _ = reference("CEAL", 0)
    record = json.loads((folder / "run" / "rounds" / "001.json").read_text())
    assert record["pseudo_labels"]["index"]


@pytest.mark.faults
@pytest.mark.parametrize(("strategy", "workers"), ALL)
def test_kills(strategy, workers, reference, serve, start, differences, faults_table, tmp_path):
    command, whole, lines = reference(strategy, workers)
    draw = random.Random(f"{strategy}{workers}")
    trials = [
        [{"phase": phase, "event": draw.randint(1, count)}] for phase, count in lines.items() if phase in kill_at.PHASES
    ]
    trials += [[{"phase": phase, "event": draw.randint(1, lines[phase])}] for phase in ("mid-epoch", "pool pass")]
    trials += [[{"seconds": draw.uniform(0, 0.6)}, {"seconds": draw.uniform(0, 0.6)}] for _ in range(2)]
    passed, phases, wrong = 0, Counter(), []
    for k, specs in enumerate(trials):
        folder = tmp_path / str(k)
        folder.mkdir()
        # one by commands that import everything themselves, as a user's do
        run = (lambda *a: start(*a)[1]) if k == len(trials) - 1 and strategy == "MSALD" else serve
        died = killed_and_resumed(run, command, folder, specs)
        changed = differences(folder / "run", whole / "run")
        if changed:
            wrong.append((specs, died, changed))
        passed += 0 if changed else len(died)
        phases.update(died)
    row = {"strategy": strategy, "workers": workers, "kills": phases.total(), "same result": passed}
    faults_table("SIGKILL, one process", row | {phase: phases[phase] for phase in kill_at.PHASES})
    assert not wrong
    assert passed >= 10
