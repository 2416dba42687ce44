"""One style for the options of all commands: a mistake is one sentence, ``--help`` ends with examples."""

import argparse
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from msal_lightning.errors import ConfigError
from msal_lightning.io.suggestions import did_you_mean

PROGRAM = "python -m msal_lightning"
RUNS_HELP = "run directories, or folders of run directories"
TRUST_HELP = "a third-party class that the run's configuration may name; may be repeated"
_EXAMPLES = "examples:\n"
_KINDS = {"int": "an integer", "float": "a number"}


class CommandParser(argparse.ArgumentParser):
    """The options of one command.

    Args:
        prog: the command as a user types it.
        examples: complete commands, shown below the options.
        settings: further arguments of ``argparse.ArgumentParser``.
    """

    def __init__(self, prog: str, *, examples: Sequence[str] = (), **settings: Any) -> None:
        super().__init__(
            prog,
            formatter_class=_Formatter,
            allow_abbrev=False,
            epilog=_EXAMPLES + "\n".join(f"  {example}" for example in examples) if examples else None,
            **settings,
        )
        self._positionals.title = "arguments"

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """Read all words of a command line.

        Raises:
            ConfigError: a word is no option of this command, or a value does not fit.
        """
        options, rest = self.parse_known_args(args, namespace)
        if rest:
            self.refuse(rest[0])
        return options

    def refuse(self, word: str) -> NoReturn:
        """Refuse a word that the command does not accept.

        Raises:
            ConfigError: always.
        """
        option = word.partition("=")[0]
        near = did_you_mean(option, self.options())
        if word.startswith("-"):
            raise ConfigError(f"unknown option '{option}'{near or f': see `{self.prog} --help`'}")
        raise ConfigError(f"expected no further word, got '{word}': see `{self.prog} --help`")

    def error(self, message: str) -> NoReturn:
        """Raise a message of argparse as one sentence.

        Raises:
            ConfigError: always.
        """
        sentence = self._sentence(message)
        raise ConfigError(sentence if sentence.endswith("?") else f"{sentence}: see `{self.prog} --help`")

    def options(self) -> list[str]:
        """Return all options that the command knows."""
        return sorted(option for action in self._actions for option in action.option_strings)

    def _sentence(self, message: str) -> str:
        if found := re.match(r"the following arguments are required: (.+)", message):
            return f"expected {' and '.join(self._described(name) for name in found[1].split(', '))}, got none"
        return sentence(message)

    def _described(self, name: str) -> str:
        for action in self._actions:
            if name in (action.dest, action.metavar, "/".join(action.option_strings)) and action.help:
                return f"{name} ({action.help})"
        return name


def sentence(message: str) -> str:
    """Rewrite argparse's message on one option, ``argument --jobs: invalid int value: 'x'``, in our style."""
    found = re.match(r"argument ([^:]+): (.+)", message, re.DOTALL)
    if not found:
        return message
    name, problem = found[1], found[2]
    if value := re.match(r"invalid (\w+) value: '(.*)'", problem, re.DOTALL):
        return f"expected {name} to be {_KINDS.get(value[1], f'a {value[1]}')}, got '{value[2]}'"
    if choice := re.match(r"invalid choice: '(.*)' \(choose from (.+)\)", problem, re.DOTALL):
        known = [word.strip(" '") for word in choice[2].split(",")]
        return f"expected {name} to be {' or '.join(known)}, got '{choice[1]}'{did_you_mean(choice[1], known)}"
    if value := re.match(r"ignored explicit argument '(.*)'", problem):
        return f"expected {name} alone, got the value '{value[1]}'"
    if re.fullmatch(r"expected (one|at least one|\d+) arguments?", problem):
        return f"expected a value after {name}, got none"
    return f"{name}: {problem}"


class _Formatter(argparse.HelpFormatter):
    """Wraps text to the terminal's width and leaves examples as written."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = text.split("\n\n")
        wrap = super()._fill_text
        return "\n\n".join(part if part.startswith(_EXAMPLES) else wrap(part, width, indent) for part in paragraphs)
