"""Lets the parser read classes in YAML by the names from before their modules moved."""

from typing import Any

import yaml
from jsonargparse import get_loader, set_loader

from msal_lightning.runs.moved_names import present

_load_yaml = get_loader("yaml")


def read_former_names() -> None:
    """Make all parsers of this process do so."""
    set_loader("yaml", _load, (yaml.YAMLError,))


def _load(text: str) -> Any:
    return present(_load_yaml(text))
