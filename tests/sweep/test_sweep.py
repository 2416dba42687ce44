"""A sweep as a person runs it: real fits in processes of their own."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from msal_lightning.cli.main import main
from msal_lightning.loop.shared_round0 import read_shared_fit
from msal_lightning.runs.records import read_records
from msal_lightning.sweep.display import SweepDisplay
from msal_lightning.sweep.executors import local
from msal_lightning.sweep.executors.local import share
from msal_lightning.sweep.grid import Cell
from msal_lightning.sweep.jobs import Job
from msal_lightning.sweep.progress import Progress

TINY = [
    "--config", "digits", "--trainer.max_epochs", "2", "--trainer.accelerator", "cpu", "--loop.query_budget", "80",
    "--model.backbone.width", "4",
]  # fmt: skip
GRID = [*TINY, "--query", "Random,MSALD", "--model.head", "prototype", "--jobs", "2", "--out", "out"]
CELLS = {"digits-Random", "digits-MSALD"}


def what_counts(folder):
    rows = csv.DictReader((folder / "curve.csv").read_text().splitlines())
    curve = [{key: value for key, value in row.items() if not key.startswith("seconds")} for row in rows]
    records = []
    for file in sorted((folder / "rounds").iterdir()):
        record = json.loads(file.read_text())
        del record["seconds"], record["digest"]
        records.append(record)
    losses = {
        file.parent.name: [line for line in file.read_text().splitlines() if line.endswith(tuple("0123456789"))]
        for file in folder.glob("fits/*/metrics.csv")
    }
    return (folder / "ledger.csv").read_bytes(), curve, records, losses


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The cells of GRID by plain ``fit``, each on its own."""
    folder = tmp_path_factory.mktemp("plain")
    for name in CELLS:
        query = name.partition("-")[2]
        assert main(["fit", *TINY, "--query", query, "--run_dir", str(folder / name)]) == 0
    return {name: what_counts(folder / name) for name in CELLS}


def mtimes(folder):
    changes = {"lock", "sweep.json"}
    return {f: f.stat().st_mtime_ns for f in folder.rglob("*") if f.is_file() and f.name not in changes}


@pytest.fixture
def forked_cells(commands, monkeypatch, tmp_path):
    """Cells run in processes of their own that have imported everything."""
    os.mkfifo(tmp_path / "open")  # the sweep that they watch never ends

    def start_fit(task, environment):
        words = ["-m", "msal_lightning.cli.workers.sweep_worker", "fit", *task.arguments]
        files = {"stdin": tmp_path / "open", "log": task.log.resolve()}
        process = commands.start(*words, cwd=Path.cwd(), **files, **environment)
        process.stdin = None
        return process

    monkeypatch.setattr(local, "start_fit", start_fit)


@pytest.mark.parametrize("seed", [16, *(pytest.param(k, marks=pytest.mark.faults) for k in range(11))])
def test_a_kill_loses_no_cell_and_runs_none_twice(seed, plain, tmp_path, monkeypatch, capsys, commands, forked_cells):
    """At 11 random instants in the fault suite: while it starts, in a cell, between two."""
    monkeypatch.chdir(tmp_path)
    draw = random.Random(seed)
    jobs = ["--jobs", "1"] if seed == 16 else []  # by default only one cell needs the seconds of its imports
    process = commands.start("-m", "msal_lightning", "sweep", *GRID, *jobs, cwd=tmp_path)
    recorded = draw.randint(0, 4)  # of 6 rounds; to draw the time alone would mostly hit imports
    while process.poll() is None and len(list(tmp_path.glob("out/*/rounds/[0-9]*.json"))) < recorded:
        time.sleep(0.01)
    time.sleep(draw.uniform(0, 6 if recorded in (0, 3) else 0.3))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    rounds = {name: len(list(tmp_path.glob(f"out/{name}/rounds/[0-9]*.json"))) for name in CELLS}
    killed = time.time_ns()

    assert main(["sweep", *GRID]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir() if path.is_dir()} == CELLS
    for name in CELLS:
        folder = tmp_path / "out" / name
        assert what_counts(folder) == plain[name]
        for k in range(rounds[name]):  # recorded once
            assert (folder / "rounds" / f"{k:03d}.json").stat().st_mtime_ns < killed
        if rounds[name] == 3:
            assert (tmp_path / "out" / f"{name}.log").stat().st_mtime_ns < killed  # not even started

    before = mtimes(tmp_path / "out")
    capsys.readouterr()
    assert main(["sweep", *GRID]) == 0
    assert "2 of 2 cells are done already" in capsys.readouterr().out
    assert mtimes(tmp_path / "out") == before


def test_a_failed_cell_stops_no_other_and_is_listed(tmp_path, monkeypatch, capsys, forked_cells):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "mine.py").write_text(
        "from msal_lightning import ScoreStrategy\n"
        "class Broken(ScoreStrategy):\n"
        "    '''Fails.'''\n"
        "    def score(self, pool, seed):\n"
        "        raise RuntimeError('no <b>score</b> [red]today[/red]')\n"
    )
    assert main(["sweep", *TINY, "--query", "mine.Broken,Random", "--out", "out"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "2 cells in out"
    why = "internal error RuntimeError: no <b>score</b> [red]today[/red]; the traceback is in '"
    assert lines[1].startswith(f"[1/2] digits-Broken failed: {why}")
    assert lines[2].startswith("[2/2] digits-Random: accuracy 0.")
    assert lines[3] == "1 of 2 cells failed; the same command tries them again:"
    assert "; log: out/digits-Broken.log" in lines[1]
    assert "Traceback" in Path(lines[1].split("'")[1]).read_text()
    assert len(read_records(tmp_path / "out" / "digits-Random")) == 3
    assert not (tmp_path / "out" / "first-fits").exists()


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_passed_on_and_the_same_command_goes_on(signum, tmp_path, commands):
    long = [*TINY, "--trainer.max_epochs", "100", "--seed", "0,1", "--jobs", "2", "--out", "out"]
    process = commands.start("-m", "msal_lightning", "sweep", *long, cwd=tmp_path)
    while not list(tmp_path.glob("out/*/rounds/000.json")) and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signum)
    lines = "".join(process.communicate()).splitlines()
    assert process.returncode == 128 + signum
    assert any(line.startswith(f"{signum.name}: waiting for") for line in lines)
    assert lines[-1] == (
        f"stopped by {signum.name} in the sweep in out, 0 of 2 cells done: the same command resumes from there"
    )
    logs = "".join(file.read_text() for file in tmp_path.glob("out/*.log"))
    assert f"stopped by {signum.name} in round" in logs


def test_a_second_sweep_in_the_folder_is_refused_and_another_configuration_too(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["fit", *TINY, "--seed", "0", "--run_dir", "out/digits-seed0"]) == 0
    assert main(["sweep", *TINY, "--loop.query_size", "30", "--seed", "0,1", "--out", "out"]) == 2
    assert (
        "'out/digits-seed0' belongs to another configuration (loop.query_size was 40, now 30)"
        in capsys.readouterr().err
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", "import sys\nfrom pathlib import Path\n"
         "from msal_lightning.io.lock import DirectoryLock\n"
         "DirectoryLock(Path('out/lock')).acquire()\nprint('held', flush=True)\nsys.stdin.read()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    holder.stdout.readline()
    assert main(["sweep", *TINY, "--seed", "0,1", "--out", "out"]) == 2
    assert "--out 'out' is in use by process" in capsys.readouterr().err
    holder.communicate()


def test_round_0_is_shared_when_it_is_the_same(tmp_path, capsys):
    shared = ["--loop.first_fit", str(tmp_path / "first.ckpt")]

    def fit(name, *options):
        assert main(["fit", *TINY, *options, "--run_dir", str(tmp_path / name)]) == 0
        return capsys.readouterr().out

    fit("a", "--query", "BALD", *shared)
    fit("b", "--query", "CEAL", *shared)
    fit("c", "--query", "CEAL")
    assert what_counts(tmp_path / "b") == what_counts(tmp_path / "c")
    assert (tmp_path / "b" / "config.yaml").read_text().replace("/b", "/c") == (
        (tmp_path / "c" / "config.yaml").read_text()
    )
    a, b = (read_records(tmp_path / name)[0] for name in "ab")
    assert a.seconds["fit"] == b.seconds["fit"]
    for key, value in (("--seed", "1"), ("--model.head", "linear"), ("--loop.initial_size", "50")):
        out = fit("other", "--query", "Random", *shared, key, value, "--overwrite")
        assert "belongs to other runs" in out
    whole = (tmp_path / "first.ckpt").read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1  # among the weights
    for damaged in (b"nothing", bytes(flipped)):
        (tmp_path / "first.ckpt").write_bytes(damaged)
        assert "is damaged" in fit("other", "--query", "Random", *shared, "--overwrite")
    (tmp_path / "first.ckpt").unlink()
    (tmp_path / "first.ckpt").mkdir()  # cannot be read or written: the run goes on
    assert "is damaged" in fit("other", "--query", "Random", *shared, "--overwrite")
    assert not list(tmp_path.glob("first.ckpt.*"))
    assert read_shared_fit(tmp_path / "nowhere", {}) is None


def test_threads_and_gpus_are_divided(monkeypatch):
    cores = len(os.sched_getaffinity(0))
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert share(0, 1, {}) == {"OMP_NUM_THREADS": str(cores), "CUDA_VISIBLE_DEVICES": ""}  # nobody looks for any
    assert share(0, 1, {"CUDA_VISIBLE_DEVICES": ""}) == {"OMP_NUM_THREADS": str(cores)}
    eighth = {"OMP_NUM_THREADS": "1", "MSAL_LIGHTNING_GPU_SHARE": "0.125"}
    assert share(1, 8, {"CUDA_VISIBLE_DEVICES": "3"}) == {**eighth, "OMP_NUM_THREADS": str(max(1, cores // 8))}
    assert share(0, 1, {"CUDA_VISIBLE_DEVICES": "3"}) == {"OMP_NUM_THREADS": str(cores)}
    fixed = {"OMP_NUM_THREADS": "4", "CUDA_VISIBLE_DEVICES": "0,2,5"}
    assert [share(slot, 2, fixed) for slot in range(2)] == [
        {"CUDA_VISIBLE_DEVICES": "0,5"},
        {"CUDA_VISIBLE_DEVICES": "2"},
    ]
    assert [share(slot, 4, fixed)["CUDA_VISIBLE_DEVICES"] for slot in range(4)] == ["0", "2", "5", "0"]
    shares = [share(slot, 4, fixed)["MSAL_LIGHTNING_GPU_SHARE"] for slot in range(4)]
    assert shares == ["0.5", "1.0", "1.0", "0.5"]  # the first and the last share GPU 0


def test_the_table_shows_a_window_of_many_cells(tmp_path):
    cells = [Progress(Job(Cell(f"cell-{k}[b]", "", ()), tmp_path / str(k), 11, "", {})) for k in range(40)]
    for cell in cells[:10]:
        cell.state, cell.rounds, cell.labels, cell.accuracy = "done", 11, 440, 0.5
    cells[3].state = "failed"
    cells[10].state, cells[10].rounds = "running", 2
    console = Console(width=80, record=True, force_terminal=True)
    display = SweepDisplay(console)
    display._ended = [*cells[:10]]
    with console.capture() as capture:
        console.print(display.table(cells, 8))
    text = capture.get()
    assert "round 2 of 10" in text
    assert all(f"cell-{k}[b]" in text for k in (3, 10, 9))
    assert "cell-39" not in text
    assert "29 waiting" in text
    assert "32 cells not shown" in text
