"""A signature in each run directory that proves that this user made it; the key lies outside of all runs.

Only a user who can read the key can make the signature, so a signed configuration may name the user's own classes
without ``--trust``. A file that was changed afterwards counts as a stranger's.
"""

import contextlib
import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from msal_lightning.io.atomic import write_atomically
from msal_lightning.io.regular_file import read_regular
from msal_lightning.io.yaml_files import load_yaml, read_bytes
from msal_lightning.runs.moved_names import present

FILE = "signature"
"""File name in a run directory, beside its config.yaml."""
_BYTES = 32


def key_file() -> Path:
    """Return the path of this user's key: ``$XDG_CONFIG_HOME/msal_lightning/key``, below ``~/.config`` by default.

    Raises:
        OSError: the user has no home folder.
    """
    folder = os.environ.get("XDG_CONFIG_HOME", "")
    try:
        base = Path(folder) if os.path.isabs(folder) else Path.home() / ".config"  # noqa: PTH117 - "" is no path
    except RuntimeError as error:
        raise OSError(str(error)) from None
    return base / "msal_lightning" / "key"


def is_own(folder: Path, content: bytes) -> bool:
    """Return whether this user's ``fit`` wrote a configuration.

    Args:
        folder: the run directory.
        content: bytes of its config.yaml that will be parsed.
    """
    try:
        said = read_regular(folder / FILE, 200).decode("ascii").strip()
        return hmac.compare_digest(said, _sign(_read_key(key_file()), content))
    except (OSError, ValueError, yaml.YAMLError):
        return False


def sign(folder: Path, config: Mapping[str, Any]) -> str | None:
    """Sign the configuration of a run directory if it equals that of this command.

    If this user resumes another user's run, keys that do not affect results may differ, for example a logger. Then the
    directory stays unsigned.

    Args:
        folder: the run directory.
        config: resolved configuration of this command.

    Returns:
        The reason why signing failed; None if it succeeded or the configurations differ.
    """
    try:
        content = read_bytes(folder / "config.yaml")
        if is_own(folder, content) or not _is_same(present(load_yaml(content.decode())), present(config)):
            return None
        write_atomically(folder / FILE, _sign(own_key(), content) + "\n")
    except (UnicodeDecodeError, yaml.YAMLError):
        return None
    except OSError as error:
        return f"{error.strerror or error}: '{error.filename}'" if error.filename else str(error)
    return None


def _is_same(one: Any, other: Any) -> bool:
    """Compare configurations except for numbers, which run no code, and the place of the run."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        keys = {*one, *other} - {"run_dir"}
        return all(_is_same(one.get(key), other.get(key)) for key in keys)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_is_same, one, other))
    numbers = (int, float, type(None))
    return one == other or (isinstance(one, numbers) and isinstance(other, numbers))


def _sign(key: bytes, content: bytes) -> str:
    return hmac.new(key, b"msal_lightning config.yaml\0" + content, hashlib.sha256).hexdigest()


def own_key() -> bytes:
    """Return the user's key and create it if missing; of two processes that create it, the first one wins.

    Raises:
        OSError: there is none, and it cannot be created; or others can read it.
    """
    file = key_file()
    if not file.exists():
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = file.with_name(f"key.{os.getpid()}.{secrets.token_hex(4)}")
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(secrets.token_bytes(_BYTES))
            with contextlib.suppress(FileExistsError):
                os.link(part, file)  # atomic, and never replaces another key
        finally:
            part.unlink()
    return _read_key(file)


def _read_key(file: Path) -> bytes:
    descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    with os.fdopen(descriptor, "rb") as stream:
        status = os.fstat(descriptor)
        foreign = hasattr(os, "getuid") and (status.st_uid != os.getuid() or status.st_mode & 0o077)
        if not stat.S_ISREG(status.st_mode) or foreign:
            raise OSError(0, "the key must be a file that only you can read", str(file))
        key = stream.read(_BYTES + 1)
    if len(key) != _BYTES:
        raise OSError(0, f"the key must have {_BYTES} bytes; delete it, and a new one is created", str(file))
    return key
