"""Lets the parser accept former class paths in YAML, from before their modules moved."""

from typing import Any

import yaml
from jsonargparse import get_loader, set_loader

from msal_lightning.runs.moved_names import present

_load_yaml = get_loader("yaml")


def read_former_names() -> None:
    """Make all parsers of this process accept former class paths."""
    set_loader("yaml", _load, (yaml.YAMLError,))


def _load(text: str) -> Any:
    return present(_load_yaml(text))
