"""``check-strategy``: run the conformance tests on one strategy and print a table."""

import argparse

from jsonargparse import ArgumentError, ArgumentParser
from rich.table import Table
from rich.text import Text

from msal_lightning.compat import drop_options_of_another_class
from msal_lightning.config.command_parser import PROGRAM
from msal_lightning.config.errors import explain
from msal_lightning.config.parser import as_user_error
from msal_lightning.errors import ConfigError
from msal_lightning.io.console import shared_console
from msal_lightning.io.terminal import say
from msal_lightning.query.conformance import CHECKS, Result, check_strategy
from msal_lightning.strategies import Strategy

_PROG = f"{PROGRAM} check-strategy"
_DESCRIPTION = f"""\
Check on small synthetic pools that a query strategy follows the contract. The exit code is 1 if a check fails.

examples:
  {_PROG} BADGE
  {_PROG} MSALD --query.uncertainty Entropy --query.beta 3
  {_PROG} mine.MyStrategy

checks:
"""
_STYLE = {"passed": "green", "failed": "bold red", "n/a": "dim"}


def check(argv: list[str]) -> int:
    """Run the conformance tests and print their results.

    Args:
        argv: name or dotted path of the strategy, then its options as in ``fit``.

    Returns:
        1 if a check failed, else 0.

    Raises:
        ConfigError: there is no such strategy, or its options are wrong.
    """
    if {"-h", "--help"} & {*argv}:
        say(f"usage: {_PROG} NAME [--query.KEY VALUE ...]\n\n{_DESCRIPTION}{_sentences()}")
        return 0
    if not argv or argv[0].startswith("-"):
        raise ConfigError(
            f"expected the name of a strategy (list: `{PROGRAM} strategies`), got {argv[0] if argv else 'none'}: see "
            f"`{_PROG} --help`"
        )
    drop_options_of_another_class()
    parser = ArgumentParser(exit_on_error=False, allow_abbrev=False, formatter_class=argparse.HelpFormatter)
    parser.add_subclass_arguments(Strategy, "query", required=True)
    try:
        config = parser.parse_args(["--query", *argv])
    except ArgumentError as error:
        raise ConfigError(explain(str(error), ["query"])) from None

    def make() -> Strategy:
        strategy: Strategy = parser.instantiate(config.clone()).query
        return strategy

    with as_user_error():
        name = make().name
    results = check_strategy(make)
    _show(name, results)
    return int(any(result.outcome == "failed" for result in results))


def _show(name: str, results: list[Result]) -> None:
    table = Table("check", "outcome", "why", box=None, pad_edge=False)
    for result in results:
        table.add_row(result.check.replace("_", " "), Text(result.outcome, _STYLE[result.outcome]), Text(result.note))
    shared_console().print(table)
    outcomes = [result.outcome for result in results]
    counts = ", ".join(f"{outcomes.count(kind)} {kind}" for kind in ("passed", "failed", "n/a"))
    say(f"{name}: {counts}")


def _sentences() -> str:
    width = max(len(check.__name__) for check in CHECKS)
    sentences = ((check.__doc__ or "").replace("`", "") for check in CHECKS)
    names = (check.__name__.replace("_", " ") for check in CHECKS)
    return "\n".join(f"  {name:{width}}  {sentence}" for name, sentence in zip(names, sentences, strict=True))
