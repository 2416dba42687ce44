"""Strategies by name."""

import inspect

from msal_lightning import strategies
from msal_lightning.errors import ConfigError
from msal_lightning.io.suggestions import did_you_mean
from msal_lightning.strategies.base import Strategy


def as_strategy(strategy: str | Strategy | type[Strategy]) -> Strategy:
    """Return a strategy with its defaults for a name or a class, or the given object.

    Raises:
        ConfigError: there is no such strategy, or its constructor needs something that is not installed.
    """
    if isinstance(strategy, Strategy):
        return strategy
    found = getattr(strategies, strategy, None) if isinstance(strategy, str) else strategy
    if not (inspect.isclass(found) and issubclass(found, Strategy)) or inspect.isabstract(found):
        known = strategy_names()
        near = (did_you_mean(strategy, known) if isinstance(strategy, str) else "") or f": {', '.join(known)}"
        raise ConfigError(f"expected the name of a strategy, or a Strategy, got {strategy!r}{near}")
    return found()


def strategy_names() -> list[str]:
    """Return the names of all strategies."""
    return sorted(name for name in strategies.__all__ if not inspect.isabstract(getattr(strategies, name)))
