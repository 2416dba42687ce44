"""The command ``classes``: other classes while a run lives. Nothing here imports torch before it is needed."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from msal_lightning.cli.amend.amending import amending, amending_parser, label_counts, queries_later, record
from msal_lightning.config.command_parser import PROGRAM, CommandParser
from msal_lightning.data.class_numbers import SPLIT
from msal_lightning.data.label_files.label_table import read_table
from msal_lightning.errors import ConfigError, RunError
from msal_lightning.io.terminal import say
from msal_lightning.runs.amendments import Reclass
from msal_lightning.runs.directory import RunDirectory
from msal_lightning.runs.new_classes import merge, rename
from msal_lightning.runs.pending import open_requests
from msal_lightning.runs.reading import Run

_RECORDED = "(this change of the classes is recorded already)"
_FEWEST = 3  # classes with which every strategy works


def classes(argv: list[str]) -> None:
    """Rename, merge or split classes of a run, in the labels that it has and in those to come.

    Args:
        argv: ``RUN rename|merge|split``, and the names.

    Raises:
        UserError: a class is unknown, a label request is pending, or a split lacks the label of an image.
    """
    options, changes = _parse(argv)
    with amending(options.run) as run:
        label_counts(run, "classes")
        _check_begun(run)
        change = _change(run, options, changes)
        if change is None:
            return
        if len(change.new) < _FEWEST:
            from msal_lightning.cli.amend.split_class import check_strategy  # imports torch

            check_strategy(run, len(change.new), options.trust)
        record(run, change, options.reason)
        RunDirectory(run.folder).derive_tables()  # the ledger shows the new classes
    _say_next(run, change)


def _change(run: Run, options: Any, changes: Sequence[str]) -> Reclass | None:
    """Return the change of the classes; None if nothing is left to do."""
    if options.how == "split":
        name, *file = options.words
        if file and _was_split(run, name, Path(*file)):
            return None
        if options.list:
            from msal_lightning.cli.amend.class_list import list_class  # imports torch

            list_class(run, name, Path(options.list), changes, options.trust)
            return None
        from msal_lightning.cli.amend.split_class import split  # imports torch

        return _with_round(run, split(run, name, Path(*file), changes, options.trust))
    if options.how == "rename":
        make = partial(rename, new=dict(_pair(word) for word in options.words))
    else:
        make = partial(_merge, words=options.words, into=options.into)
    if _is_last(run, make):
        say(_RECORDED)
        return None
    return _with_round(run, make(run.class_names))


def _merge(names: Sequence[str], words: Sequence[str], into: str) -> Reclass:
    return merge(names, [part for word in words for part in ([word] if word in names else word.split(","))], into)


def _with_round(run: Run, change: Reclass) -> Reclass:
    """Let a model of the new classes be trained before the next query."""
    needs_round = queries_later(run) and not change.renames
    return replace(change, extra_round=len(run.records)) if needs_round else change


def _is_last(run: Run, make: Callable[[Sequence[str]], Reclass]) -> bool:
    """Whether the last amendment is the same change, because a command is repeated after an interruption."""
    last = run.amendments.items[-1].change if run.amendments.items else None
    if not isinstance(last, Reclass):
        return False
    try:
        again = make(last.old)
    except ConfigError:
        return False
    return (again.new, again.numbers) == (last.new, last.numbers)


def _was_split(run: Run, name: str, file: Path) -> bool:
    """Whether the last amendment has split a class as a file says, because a command is repeated."""
    last = run.amendments.items[-1].change if run.amendments.items else None
    if not isinstance(last, Reclass) or name not in last.old or last.numbers[last.old.index(name)] != SPLIT:
        return False
    _, lines = read_table(file, ("path", "label"), f"FILE '{file}'")
    if {line.fields["label"] for line in lines} != {last.new[c] for c in (*last.label, *last.test_label)}:
        return False
    say(_RECORDED)
    return True


def _parse(argv: list[str]) -> tuple[Any, list[str]]:
    prog = f"{PROGRAM} classes"
    parser = amending_parser(
        prog,
        "Rename, merge or split classes. All labels so far change with them, test images too, and the models from the "
        "next round on know the new classes. The records of earlier rounds stay as they are.",
        [
            f"{prog} runs/mine rename hare=Lepus",
            f"{prog} runs/mine merge hare,rabbit --into lagomorph --reason 'too alike at night'",
            f"{prog} runs/mine split deer --list deer.csv",
            f"{prog} runs/mine split deer deer.csv",
        ],
    )
    parser.add_argument("how", metavar="HOW", choices=["rename", "merge", "split"], help="rename, merge or split")
    words = "OLD=NEW for rename; the classes, separated by commas, for merge; the class and a CSV file for split"
    parser.add_argument("words", metavar="WORDS", nargs="+", help=words)
    parser.add_argument("--into", metavar="NAME", help="name of the merged class")
    to_list = "for split: write the images of the class into this CSV file, to fill in their labels"
    parser.add_argument("--list", metavar="FILE", help=to_list)
    options, changes = parser.parse_known_args(argv)
    _check_words(parser, options, changes)
    return options, changes


def _check_words(parser: CommandParser, options: Any, changes: Sequence[str]) -> None:
    if changes and options.how != "split":
        parser.refuse(changes[0])
    if (options.into is not None) != (options.how == "merge"):
        raise ConfigError(f"expected --into with merge only, and always, got it {'' if options.into else 'not '}with "
                          f"{options.how}: `merge a,b --into c`")  # fmt: skip
    if options.list and options.how != "split":
        raise ConfigError(f"expected --list with split only, got it with {options.how}: leave it out")
    if options.how == "split" and len(options.words) != (1 if options.list else 2):
        raise ConfigError(f"expected a class and a CSV file, or a class and --list FILE, got "
                          f"{' '.join(options.words)}: `split a FILE.csv`")  # fmt: skip


def _pair(word: str) -> tuple[str, str]:
    old, equals, new = word.partition("=")
    if not equals:
        raise ConfigError(f"expected OLD=NEW, got '{word}': `rename hare=Lepus`")
    return old, new


def _check_begun(run: Run) -> None:
    if not run.records:
        raise RunError(
            f"expected a run with a finished round, got '{run.folder}' without one: `resume` or `finish` it first"
        )
    if not run.class_names:
        raise RunError(f"expected class names in the records of '{run.folder}', got a run of a version that kept none")
    done = len(run.records) - (run.amendments.reopened(run.records) is not None)
    if requests := open_requests(run.folder, done):
        raise RunError(
            f"expected no pending labeling request in '{run.folder}', got {requests[0].name}, which names the former "
            "classes: end the run with `finish`, change the classes, and query further with `extend`"
        )


def _say_next(run: Run, change: Reclass) -> None:
    if change.renames:
        say("the new names are used from now on; models and numbers stay")
    elif change.extra_round is not None:
        say(
            f"`{PROGRAM} resume {run.folder}` trains a model of the new classes with the same labels, and "
            f"`{PROGRAM} extend {run.folder} --labels N` queries further with it"
        )
    else:
        say(
            f"the models from round {len(run.records)} on know the new classes: `{PROGRAM} resume {run.folder}` goes on"
        )
