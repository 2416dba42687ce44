"""Suppress messages that Lightning would repeat in every round."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_NOISE = (
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",  # Lightning's own call into torch (Lightning issue 21326)
    r".*does not have many workers.*",  # the images are in memory, so workers would only copy them
    r".*The anonymous setting has no effect.*",  # WandbLogger sets it itself
    r"You passed `Trainer\(accelerator='cpu', precision='16-mixed'\)`",  # `fit` rejects it with a sentence
)


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Hide Lightning's notes (devices found, tips, end of fit) and irrelevant warnings."""
    loggers = [logging.getLogger("lightning.pytorch"), logging.getLogger("lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for message in _NOISE:
                warnings.filterwarnings("ignore", message=message)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
