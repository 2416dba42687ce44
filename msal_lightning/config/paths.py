"""Paths as people write them: ``~/images``, ``$SCRATCH/runs``, ``${HOME}/data``.

A shell expands them in ``--out ~/runs``, but neither in ``--out=~/runs`` nor in a YAML file.
"""

import os
import re
from pathlib import Path
from typing import Any

# Paths that a callback writes to are left out: they are checked as they stand in a stranger's configuration.
_KEYS = re.compile(
    r"run_dir|data\.init_args\.(root|test_root|csv)|model\.backbone\.init_args\.weights|loop\.(replay|first_fit)"
    r"|logger\.init_args\.save_dir"
)


def expand(text: str) -> str:
    """Replace a leading ``~`` and the environment variables; unknown ones stay as they are, and no file has them."""
    return os.path.expanduser(os.path.expandvars(text))  # noqa: PTH111 - "~" alone, and "~nobody" as it is


def a_path(text: str) -> Path:
    """Read the value of an option that names a file or a folder."""
    return Path(expand(text))


def expand_paths(config: Any) -> None:
    """Expand the paths in a configuration, where they stand.

    Args:
        config: of ``fit``, a jsonargparse namespace.
    """
    for key, value in [*config.items()]:
        if isinstance(value, str) and _KEYS.fullmatch(key):
            config[key] = expand(value)
