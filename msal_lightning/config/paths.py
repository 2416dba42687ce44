"""Paths as people write them: ``~/images``, ``$SCRATCH/runs``, ``${HOME}/data``.

A shell expands them in ``--out ~/runs``, but neither in ``--out=~/runs`` nor in a YAML file.
"""

import os
from pathlib import Path

_KEYS = {"run_dir", "root", "test_root", "csv", "weights", "replay", "first_fit", "save_dir", "dirpath"}


def expand(text: str) -> str:
    """Replace a leading ``~`` and the environment variables; unknown ones stay as they are, and no file has them."""
    return os.path.expanduser(os.path.expandvars(text))  # noqa: PTH111 - "~" alone, and "~nobody" as it is


def a_path(text: str) -> Path:
    """Read the value of an option that names a file or a folder."""
    return Path(expand(text))


def is_path_key(key: str) -> bool:
    """Tell whether a dotted configuration key, ``data.init_args.root`` for example, names a file or a folder."""
    return key.rpartition(".")[2] in _KEYS
