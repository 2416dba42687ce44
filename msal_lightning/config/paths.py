"""Paths as people write them: ``~/images``, ``$SCRATCH/runs``, ``${HOME}/data``.

A shell expands them in ``--out ~/runs``, but neither in ``--out=~/runs`` nor in a YAML file.
"""

import os
import re
from pathlib import Path
from typing import Any

# Paths that callbacks write to are not expanded, because a stranger's configuration is checked as written.
_KEYS = re.compile(
    r"run_dir|data\.init_args\.(root|test_root|csv|labels)|model\.backbone\.init_args\.weights|loop\.(replay|first_fit|initial_features)"
    r"|logger\.init_args\.save_dir"
)


def expand(text: str) -> str:
    """Replace a leading ``~`` and environment variables; unknown variables stay as they are."""
    return os.path.expanduser(os.path.expandvars(text))  # noqa: PTH111 - "~" alone, and "~nobody" as it is


def a_path(text: str) -> Path:
    """Convert the value of an option that names a file or a folder."""
    return Path(expand(text))


def expand_paths(config: Any) -> None:
    """Expand the paths in a configuration, in place.

    Args:
        config: configuration of ``fit``, a jsonargparse namespace.
    """
    for key, value in [*config.items()]:
        if isinstance(value, str) and _KEYS.fullmatch(key):
            config[key] = expand(value)
