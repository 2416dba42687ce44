"""``archive``: a run as one file."""

from pathlib import Path

from msal_lightning.cli.amend.amending import amending
from msal_lightning.config.command_parser import PROGRAM, CommandParser
from msal_lightning.config.paths import a_path
from msal_lightning.errors import ConfigError
from msal_lightning.io.terminal import say
from msal_lightning.io.wording import counted
from msal_lightning.runs.archive import pack


def archive(argv: list[str]) -> None:
    """Pack a run into one file.

    Args:
        argv: ``RUN`` and options.

    Raises:
        UserError: the folder is no run directory, is in use, or the file exists.
    """
    prog = f"{PROGRAM} archive"
    parser = CommandParser(
        prog,
        description="Pack a run directory into one .tar.gz file, to keep or to share it: records, amendments, labels, "
        "tables, models. The images are not in it, but config.yaml and the ledger name their paths. Unpack it with "
        "`tar -xf`, then `resume RUN --data.root FOLDER` goes on.",
        examples=[f"{prog} runs/mine", f"{prog} runs/mine --out mine.tar.gz --without-models"],
    )
    parser.add_argument("run", metavar="RUN", type=a_path, help="the run directory")
    parser.add_argument("--out", metavar="FILE", type=a_path, help="the archive (default: RUN.tar.gz beside RUN)")
    parser.add_argument("--without-models", action="store_true", help="leave the checkpoints out")
    options = parser.parse_args(argv)
    run = Path(options.run)
    out = Path(options.out) if options.out else run.resolve().with_name(f"{run.resolve().name}.tar.gz")
    if not out.name.endswith((".tar.gz", ".tgz")):
        raise ConfigError(f"expected --out to end in .tar.gz, got '{out}'")
    if out.exists():
        raise ConfigError(f"expected --out to be a new file, but '{out}' exists: choose another name")
    if out.resolve().is_relative_to(run.resolve()):
        raise ConfigError(f"expected --out to be outside of the run, got '{out}': choose another folder")
    with amending(run):
        found = pack(run, out, not options.without_models)
    size, packed = found.num_bytes / 1e6, out.stat().st_size / 1e6
    say(f"{counted(found.files, 'file')}, {size:.1f} MB, in {out} ({packed:.1f} MB)")
