"""``datasets prepare`` fetches and reads a dataset; ``datasets show`` draws some of its images."""

import time

import matplotlib.pyplot as plt
import torch
from jsonargparse import ArgumentError, ArgumentParser
from matplotlib.figure import Figure

from msal_lightning.compat import drop_options_of_another_class
from msal_lightning.config.command_parser import PROGRAM, CommandParser
from msal_lightning.config.errors import explain
from msal_lightning.config.parser import as_user_error
from msal_lightning.config.paths import expand
from msal_lightning.data import ActiveDataModule
from msal_lightning.data.batches.loading import ImageSet
from msal_lightning.errors import ConfigError
from msal_lightning.io.picture_file import refuse_no_picture
from msal_lightning.io.terminal import say

PROG = f"{PROGRAM} datasets"
_CLASSES = 20  # rows of the picture
_EACH = 8  # images of a class


def prepare(argv: list[str]) -> None:
    """Fetch and read a dataset, then print its sizes.

    Args:
        argv: the dataset's name, then its options as in ``fit``.

    Raises:
        UserError: the dataset cannot be fetched or read.
    """
    start = time.perf_counter()
    parser = parser_of("prepare", "Fetch, verify and read a dataset before the first run.")
    data, learn, test = read_dataset(parser.parse_known_args(argv)[1])
    say_sizes(data, learn, test)
    say(f"{data.name} is ready in '{data.root}' ({time.perf_counter() - start:.1f} s)")


def show(argv: list[str]) -> None:
    """Draw some images of each class.

    Args:
        argv: the dataset's name, then its options as in ``fit``, and ``--out``.

    Raises:
        UserError: the dataset cannot be fetched or read, or the picture cannot be written.
    """
    parser = parser_of("show", "Draw some images of each class, to check labels and colours.")
    parser.add_argument("--out", metavar="FILE", type=expand, help="the picture: png, svg or pdf (default: NAME.png)")
    options, rest = parser.parse_known_args(argv)
    data, learn, _ = read_dataset(rest)
    out = options.out or f"{data.name.lower()}.png"
    refuse_no_picture(out)
    figure = contact_sheet(learn, data.class_names, data.name)
    try:
        figure.savefig(out, dpi=100)
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot write the picture '{out}' ({error}): set --out to a file like digits.png") from None
    plt.close(figure)
    say(f"{data.name} drawn in {out}")


def contact_sheet(images: ImageSet, class_names: tuple[str, ...], title: str) -> Figure:
    """Draw one row per class: its name and its first images.

    Args:
        images: images with true labels.
        class_names: C names.
        title: title of the figure.
    """
    shown = class_names[:_CLASSES]
    figure, grid = plt.subplots(
        len(shown), _EACH, figsize=(1.8 + 0.8 * _EACH, 0.4 + 0.85 * len(shown)), layout="constrained", squeeze=False
    )
    more = f" (the first {len(shown)} of {len(class_names)} classes)" if len(shown) < len(class_names) else ""
    figure.suptitle(f"{title}{more}")
    for c, (name, row) in enumerate(zip(shown, grid, strict=True)):
        index = (images.label == c).nonzero()[:_EACH, 0]
        for axes in row:
            axes.axis("off")
        for axes, one in zip(row, index, strict=False):
            pixels = images.image[one[None]][0].permute(1, 2, 0).squeeze(2).numpy()
            axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        row[0].text(-0.15, 0.5, name, ha="right", va="center", transform=row[0].transAxes, fontsize="small")
    return figure


def say_sizes(data: ActiveDataModule, learn: ImageSet, test: ImageSet) -> None:
    """Print number, shape and classes of the images of each part."""
    for what, images in (("train", learn), ("test", test)):
        known = images.label[images.label >= 0]
        counts = torch.bincount(known, minlength=data.num_classes)
        _, channels, height, width = images.image.shape
        sizes = f", {data.num_classes} classes of {int(counts.min()):,} to {int(counts.max()):,}" if len(known) else ""
        blank = f", {len(images.label) - len(known):,} without a label" if len(known) < len(images.label) else ""
        say(f"{what:6} {len(images.label):>8,} images {channels}×{height}×{width}{sizes}{blank}")


def parser_of(word: str, description: str) -> CommandParser:
    """Return the parser of ``datasets WORD NAME``."""
    return CommandParser(
        f"{PROG} {word}",
        usage=f"{PROG} {word} NAME [--data.KEY VALUE ...]",
        description=f"{description} --data.KEY is any option of the dataset, as in fit.",
        examples=[f"{PROG} {word} MNIST", f"{PROG} {word} CIFAR10 --data.root ~/images"],
    )


def read_dataset(argv: list[str]) -> tuple[ActiveDataModule, ImageSet, ImageSet]:
    """Read the dataset that a command line names, with its options as in ``fit``.

    Returns:
        The data module, the training images and the test set.

    Raises:
        UserError: it is unknown, or cannot be read.
    """
    if not argv or argv[0].startswith("-"):
        raise ConfigError("expected the name of a dataset (list: `python -m msal_lightning datasets`), got none")
    drop_options_of_another_class()
    parser = ArgumentParser(exit_on_error=False, allow_abbrev=False)
    parser.add_subclass_arguments(ActiveDataModule, "data", required=True)
    try:
        config = parser.parse_args(["--data", *argv])
    except ArgumentError as error:
        raise ConfigError(explain(str(error), ["data"])) from None
    with as_user_error():
        data: ActiveDataModule = parser.instantiate(config).data
    return data, *data.read()
