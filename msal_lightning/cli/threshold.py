"""The command ``threshold``. Nothing here imports torch before the options are read."""

import argparse
from typing import Any

from msal_lightning.cli.run_options import add_run, add_run_options, data_words
from msal_lightning.config.command_parser import PROGRAM, CommandParser
from msal_lightning.io.terminal import say
from msal_lightning.io.wording import counted

PROG = f"{PROGRAM} threshold"
_FEW = 10  # labels of the class


def threshold(argv: list[str]) -> None:
    """Choose the probability from which an image belongs to a rare class, on held-out labels.

    Args:
        argv: options of the command.

    Raises:
        UserError: a mistake that the user can correct.
    """
    options = _parse(argv)
    from msal_lightning.inference.choose import choose_for_run
    from msal_lightning.inference.devices import device_of

    device = device_of(options.device, "--device")
    content, file = choose_for_run(
        options.run, options.name, options.metric, options.recall, device, data_words(options), options.trust
    )
    _say_result(content)
    say(f"'{file}' has it; `predict` uses it with --threshold, and `export` writes it into the card")


def _say_result(content: dict[str, Any]) -> None:
    name = content["class"]
    say(f"'{name}' from a probability of {content['threshold']:.4f} on, chosen by {content['chosen_by']}:")
    for part, what in (("held_out", "held-out labels"), ("test", "test images")):
        found = content[part]
        say(f"  {counted(found['images'], what.removesuffix('s'))}, {found['of_class']:,} of '{name}'")
        for key, how in (("most_probable", "most probable class"), ("threshold", "with the threshold")):
            values = found[key]
            shown = ", ".join(f"{word.replace('_', ' ')} {value:.3f}" for word, value in values.items())
            say(f"    {how}: {shown}")
    if content["held_out"]["of_class"] < _FEW:
        say(f"(the threshold is uncertain: {counted(content['held_out']['of_class'], 'held-out label')} of '{name}')")


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"expected a share above 0 and at most 1, got '{text}'")
    return value


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = CommandParser(
        PROG,
        usage=f"{PROG} RUN --class NAME [options]",
        description="Choose the probability from which an image belongs to a rare class, on the labels that "
        "data.validation_fraction kept from the last fit, never on the test set. The command prints precision and "
        "recall of the class with and without the threshold, on these labels and on the test images, and writes "
        "RUN/threshold.json.",
        examples=[f"{PROG} runs/line --class defect", f"{PROG} runs/line --class defect --recall 0.95"],
    )
    add_run(parser)
    add = parser.add_argument
    add("--class", dest="name", required=True, metavar="NAME", help="name of the class")
    add(
        "--metric",
        choices=["balanced_accuracy", "f1"],
        default="balanced_accuracy",
        help="what the threshold makes as good as possible, for the class against the rest (default: %(default)s)",
    )
    add("--recall", type=_share, metavar="R", help="choose the highest threshold with at least this recall instead")
    add("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, cuda:1, mps (default: %(default)s)")
    add_run_options(parser)
    options: argparse.Namespace = parser.parse_args(argv)
    return options
