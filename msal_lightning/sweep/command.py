"""The command ``sweep``. Nothing here imports torch before the options are read."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msal_lightning.errors import UserError
from msal_lightning.sweep.executor import Executor
from msal_lightning.sweep.grid import Cell, Options, cells, name_of, plain, read_grid, read_options, split
from msal_lightning.sweep.paper import EXPERIMENTS

PROG = "python -m msal_lightning sweep"
DESCRIPTION = f"""\
Run many fits: all combinations of the values that are separated by commas, or the paper's experiments
({", ".join(EXPERIMENTS)}). The same command goes on with a sweep that was interrupted.

examples:
  {PROG} --config digits --query Random,Entropy,MSALD --model.head linear,prototype --seed 0,1,2 --jobs 2
  {PROG} table2 --config fashion_mnist --only Random,Entropy,MSAL-D --loop.query_budget 1000
  {PROG} table5 --list
  {PROG} --grid grid.yaml                         a file that maps options to lists: {{seed: [0, 1, 2], ...}}
"""


def sweep(argv: list[str]) -> int:
    """Expand, then run what is not done.

    Args:
        argv: names of experiments, options of the sweep, and any option of ``fit`` with one or several values.

    Returns:
        Exit code: 0, or 1 where a cell failed.

    Raises:
        UserError: anything that the user can mend.
    """
    words = next((k for k, word in enumerate(argv) if word.startswith("-")), len(argv))
    experiments, (options, rest) = argv[:words], _read(argv[words:])
    grid = _merge(read_grid(options.grid) if options.grid else [], read_options(rest))
    if not experiments and not grid:
        raise UserError(f"expected an experiment ({', '.join(EXPERIMENTS)}) or options, --config digits for example")
    wanted = cells(experiments, grid, split(options.only) if options.only else ())
    out = Path(options.out or Path("runs") / f"sweep-{name_of(experiments, grid)}")
    return _run(wanted, out, options)


def _run(wanted: Sequence[Cell], out: Path, options: argparse.Namespace) -> int:
    from msal_lightning.atomic import write_atomically
    from msal_lightning.lock import DirectoryLock
    from msal_lightning.sweep.plan import make_jobs
    from msal_lightning.sweep.run import Sweep
    from msal_lightning.sweep.table import SweepDisplay

    display = SweepDisplay()
    jobs, left_out = make_jobs(wanted, out)
    for line in left_out:
        display.say(line, style="yellow")
    if options.list:
        for job in jobs:
            print(f"{job.cell.name}  ({job.rounds} rounds)  fit {' '.join(job.cell.arguments)}")
        return 0
    executor = _executor(options, out)
    lock = DirectoryLock(out / "lock", "--out")
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock.acquire()
        write_atomically(out / "sweep.json", json.dumps([plain(job.cell) for job in jobs], indent=1))
    except OSError as error:
        raise UserError(
            f"cannot write --out '{out}' ({error.strerror or error}): set it to a folder of yours"
        ) from None
    try:
        display.say(f"{len(jobs)} cells in {out}")
        failed = Sweep(jobs, executor, out, display).run()
        display.finish(len(jobs), failed, str(out))
    finally:
        lock.close()
    return 1 if failed else 0


def _executor(options: argparse.Namespace, out: Path) -> Executor:
    if options.executor == "ray":
        from msal_lightning.sweep.ray import RayExecutor

        return RayExecutor(out / "stop", options.cpus, options.gpus)
    if options.executor == "slurm":
        from msal_lightning.sweep.slurm import SlurmExecutor

        return SlurmExecutor(out / "slurm", options.cpus, options.gpus, _parameters(options.slurm))
    from msal_lightning.sweep.local import LocalExecutor

    return LocalExecutor(options.jobs)


def _parameters(text: str) -> dict[str, Any]:
    try:
        parameters = json.loads(text)
    except ValueError:
        parameters = None
    if not isinstance(parameters, dict):
        raise UserError(f"expected --slurm to be a JSON object like {{\"timeout_min\": 600}}, got '{text}'")
    return parameters


def _merge(file: Options, line: Options) -> Options:
    """What the command line says of a key replaces what the file says."""
    said = {key for key, _ in line}
    return [*((key, values) for key, values in file if key not in said), *line]


def _read(argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    try:
        return _parser().parse_known_args(argv)
    except argparse.ArgumentError as error:
        raise UserError(f"{error}: see `{PROG} --help`") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROG,
        usage=f"{PROG} [EXPERIMENT ...] [--KEY VALUE[,VALUE ...] ...]",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        exit_on_error=False,
    )
    add = parser.add_argument
    add("--out", help="folder of the run directories (default: runs/sweep-NAME)")
    add("--grid", help="a YAML file that maps options of fit to lists of values")
    add("--only", help="rows of the paper's experiments to keep: Random,MSAL-D")
    add("--list", action="store_true", help="show the cells and run nothing")
    add("--executor", choices=("local", "ray", "slurm"), default="local", help="where the cells run (default: local)")
    add("--jobs", type=int, default=1, help="local: fits at a time, which share cores and GPUs (default: 1)")
    add("--cpus", type=int, default=1, help="ray, slurm: cores of each fit (default: 1)")
    add("--gpus", type=float, default=0, help="ray, slurm: GPUs of each fit; ray takes parts too (default: 0)")
    add("--slurm", default="{}", help='slurm: more of submitit\'s parameters, as JSON: {"timeout_min": 600}')
    return parser
