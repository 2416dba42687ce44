"""A run as one file, to keep or to share it."""

import gzip
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from msal_lightning.errors import RunError
from msal_lightning.io.atomic import atomic_file, named_by_part
from msal_lightning.io.kill_points import kill_point

_LEFT_OUT = ("lock", "signature", "wandb_id")  # of this machine, or of this user's account
_FOLDERS_LEFT_OUT = ("wandb", "mlruns", "lightning_logs")


@dataclass(frozen=True)
class Packed:
    """What an archive holds.

    Attributes:
        files: number of files.
        num_bytes: their size before they were packed.
    """

    files: int
    num_bytes: int


def pack(run: Path, out: Path, with_models: bool = True) -> Packed:
    """Write a run directory into a gzipped tar file, atomically. The same files give the same bytes.

    The fit in progress, the lock, the signature and files of trackers stay behind. Links are not followed.

    Args:
        run: the run directory; its lock is held.
        out: the archive; it does not exist.
        with_models: whether the models of finished rounds are packed.

    Raises:
        RunError: the archive cannot be written.
    """
    files = [file for file in sorted(_files(run)) if with_models or file.suffix != ".ckpt"]
    try:
        with (
            atomic_file(out) as stream,
            gzip.GzipFile(filename="", fileobj=stream, mode="wb", mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
        ):
            for file in files:
                kill_point("archive a file")
                archive.add(file, f"{run.resolve().name}/{file.relative_to(run).as_posix()}", filter=_anonymous)
    except OSError as error:
        raise RunError(f"cannot write '{out}' ({error.strerror or error}): choose another --out") from None
    return Packed(len(files), sum(file.stat().st_size for file in files))


def _files(run: Path) -> Iterator[Path]:
    for file in run.rglob("*"):
        inside = file.relative_to(run)
        if file.is_symlink() or not file.is_file() or inside.parts[0] in _FOLDERS_LEFT_OUT:
            continue
        if inside.as_posix() in (*_LEFT_OUT, "checkpoints/fit.ckpt") or named_by_part(file.name):
            continue
        yield file


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    member.mode = 0o644
    return member
