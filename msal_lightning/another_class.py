"""Naming another class drops the options of the class before it.

jsonargparse carries over every option that both classes have: ``--config digits --query DBAL`` would run DBAL with the
``uncertainty`` and ``beta`` that digits.yaml gives MSALD, and nothing would say so. Here a class starts from its own
defaults and what is given with it.
"""

from typing import Any

import jsonargparse._typehints as typehints


def drop_options_of_another_class() -> None:
    """Make all parsers of this process do so.

    Raises:
        ImportError: jsonargparse has changed inside.
    """
    if not hasattr(typehints, _NAME):
        raise ImportError(f"jsonargparse has no {_NAME} any more: install a version below 5")
    setattr(typehints, _NAME, _drop)


_NAME = "discard_init_args_on_class_path_change"


def _drop(parser_or_action: Any, prev_val: Any, value: Any) -> None:
    if prev_val and "init_args" in prev_val and prev_val["class_path"] != value["class_path"]:
        prev_val.pop("init_args")
