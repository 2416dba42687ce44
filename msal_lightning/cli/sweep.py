"""The command ``sweep``. Nothing here imports torch before the options are read."""

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msal_lightning.config.command_parser import PROGRAM, CommandParser
from msal_lightning.config.paths import expand
from msal_lightning.errors import ConfigError
from msal_lightning.io.terminal import say
from msal_lightning.io.wording import counted
from msal_lightning.runs.directory import is_run
from msal_lightning.sweep.executors.base import Executor
from msal_lightning.sweep.grid import NAMES, Cell, Options, cells, name_of, plain, read_grid, read_options, split
from msal_lightning.sweep.reproduction import NAMES as REPRODUCTION

PROG = f"{PROGRAM} sweep"


def sweep(argv: list[str]) -> int:
    """Expand the grid, then run all unfinished cells.

    Args:
        argv: names of experiments, options of the sweep, and any option of ``fit`` with one or several values.

    Returns:
        Exit code: 0, or 1 if a cell failed.

    Raises:
        UserError: a mistake that the user can correct.
    """
    words = next((k for k, word in enumerate(argv) if word.startswith("-")), len(argv))
    experiments, options = argv[:words], _read(argv[words:])
    grid = _merge(read_grid(options.grid) if options.grid else [], read_options(options.rest))
    if not experiments and not grid:
        raise ConfigError(f"expected an experiment ({', '.join(NAMES)}) or options, --config digits for example")
    wanted = cells(experiments, grid, split(options.only) if options.only else ())
    out = Path(options.out or Path("runs") / f"sweep-{name_of(experiments, grid)}")
    if {*REPRODUCTION} & {*experiments}:
        from msal_lightning.sweep.same_device import of_this_device

        wanted, left_alone = of_this_device(wanted, out)
        for line in left_alone:
            say(line)
        if not wanted:
            raise ConfigError("no run is left for this machine: use one of the other kind, or another --out")
    return _run(wanted, out, options)


def _run(wanted: Sequence[Cell], out: Path, options: argparse.Namespace) -> int:
    from msal_lightning.io.atomic import write_atomically
    from msal_lightning.io.folder_mark import MARK, check_folder, claim_folder
    from msal_lightning.io.lock import DirectoryLock
    from msal_lightning.io.own_files import refuse_linked_folders, remove_parts
    from msal_lightning.sweep.display import SweepDisplay
    from msal_lightning.sweep.jobs import make_jobs
    from msal_lightning.sweep.scheduler import FILES, Sweep

    display = SweepDisplay()
    jobs, left_out = make_jobs(wanted, out, options.known)
    for line in left_out:
        display.say(line, style="yellow")
    if options.list:
        for job in jobs:
            say(f"{job.cell.name}  ({counted(job.rounds, 'round')})  fit {' '.join(job.cell.arguments)}")
        return 0
    lock = DirectoryLock(out / "lock", "--out")
    try:
        check_folder(out, "sweep", "--out", _made_before)
        executor = _executor(options, out)
        claim_folder(out, "sweep", "--out", _made_before)
        refuse_linked_folders(out, FILES)
        lock.acquire()
        remove_parts(out, [*FILES, re.escape(MARK)])
        write_atomically(out / "sweep.json", json.dumps([plain(job.cell) for job in jobs], indent=1))
    except OSError as error:
        raise ConfigError(
            f"cannot write --out '{out}' ({error.strerror or error}): set it to a folder of yours"
        ) from None
    try:
        display.say(f"{counted(len(jobs), 'cell')} in {out}")
        failed = Sweep(jobs, executor, out, display).run()
        display.finish(len(jobs), failed, str(out))
    finally:
        lock.close()
    return 1 if failed else 0


def _made_before(out: Path) -> bool:
    """Whether a folder is a sweep of a version that set no marks: it has a list of cells, or run directories only."""
    if all(is_run(entry) for entry in out.iterdir()):
        return True
    try:
        cells = json.loads((out / "sweep.json").read_text(encoding="utf-8"))
        return bool(cells) and all(cell.keys() == {"name", "row", "arguments"} for cell in cells)
    except (OSError, ValueError, AttributeError, TypeError):
        return False


def _executor(options: argparse.Namespace, out: Path) -> Executor:
    if options.executor == "ray":
        from msal_lightning.sweep.executors.ray import RayExecutor

        return RayExecutor(out / "stop", options.cpus, options.gpus)
    if options.executor == "slurm":
        from msal_lightning.sweep.executors.slurm import SlurmExecutor

        return SlurmExecutor(out / "slurm", options.cpus, options.gpus, _parameters(options.slurm))
    if options.executor == "warm":
        from msal_lightning.sweep.executors.warm import WarmExecutor

        return WarmExecutor(options.jobs)
    from msal_lightning.sweep.executors.local import LocalExecutor

    return LocalExecutor(options.jobs)


def _parameters(text: str) -> dict[str, Any]:
    try:
        parameters = json.loads(text)
    except ValueError:
        parameters = None
    if not isinstance(parameters, dict):
        raise ConfigError(f"expected --slurm to be a JSON object like {{\"timeout_min\": 600}}, got '{text}'")
    return parameters


def _merge(file: Options, line: Options) -> Options:
    """Merge two grids; a key on the command line replaces the file's."""
    said = {key for key, _ in line}
    return [*((key, values) for key, values in file if key not in said), *line]


def _read(argv: list[str]) -> argparse.Namespace:
    """Parse the options of the sweep; ``rest`` holds those of fit."""
    parser = CommandParser(
        PROG,
        usage=f"{PROG} [EXPERIMENT ...] [--KEY VALUE[,VALUE ...] ...]",
        description="Run many fits: all combinations of the values that are separated by commas, or the paper's "
        f"experiments ({', '.join(NAMES)}). --KEY is any option of fit. The same command resumes an interrupted "
        "sweep.",
        examples=[
            f"{PROG} --config digits --query Random,Entropy,MSALD --seed 0,1,2 --jobs 2",
            f"{PROG} table2 --config fashion_mnist --only Random,Entropy,MSAL-D --loop.query_budget 1000",
            f"{PROG} table5 --list",
            f"{PROG} --grid grid.yaml      (a file that maps options to lists: {{seed: [0, 1, 2], ...}})",
        ],
    )
    add = parser.add_argument
    add("--out", metavar="FOLDER", type=expand, help="folder for the run directories (default: runs/sweep-NAME)")
    add("--grid", metavar="FILE", type=expand, help="a YAML file that maps options of fit to lists of values")
    add("--only", metavar="ROW,ROW", help="rows of the paper's experiments to keep, Random,MSAL-D for example")
    add("--list", action="store_true", help="print the cells and run nothing")
    add(
        "--executor",
        choices=("local", "warm", "ray", "slurm"),
        default="local",
        help="runs the cells; warm: as local, in processes that stay, for fits of seconds (default: local)",
    )
    add(
        "--jobs",
        type=int,
        default=1,
        metavar="N",
        help="local, warm: fits at a time; they share cores and GPUs (default: 1)",
    )
    add("--cpus", type=int, default=1, metavar="N", help="ray, slurm: cores per fit (default: 1)")
    add("--gpus", type=float, default=0, metavar="N", help="ray, slurm: GPUs per fit; ray takes fractions (default: 0)")
    add("--slurm", default="{}", metavar="JSON", help='slurm: more parameters of submitit, like {"timeout_min": 600}')
    options, rest = parser.parse_known_args(argv)
    options.rest = rest
    options.known = [option.lstrip("-") for option in parser.options()]
    return options
