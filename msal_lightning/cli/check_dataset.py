"""``datasets check``: what makes the accuracy of a dataset look better than it is."""

import numpy as np
import torch
from numpy.typing import NDArray

from msal_lightning.cli.datasets import parser_of, read_dataset, say_sizes
from msal_lightning.data import ActiveDataModule
from msal_lightning.data.batches.loading import ImageSet
from msal_lightning.data.groups import shared_groups
from msal_lightning.data.images.near_duplicates import BITS, Pair, Relation, find_near_duplicates
from msal_lightning.data.images.perceptual_hash import hash_images
from msal_lightning.embed.progress import EmbedProgress
from msal_lightning.errors import ConfigError
from msal_lightning.io.names import name_some
from msal_lightning.io.terminal import say
from msal_lightning.io.wording import counted

_DISTANCE = 4


def check(argv: list[str]) -> None:
    """Report groups and near-duplicates that are in both the training split and the test set.

    Args:
        argv: the dataset's name, then its options as in ``fit``, and ``--distance``.

    Raises:
        UserError: the dataset cannot be read, or the extra ``duplicates`` is missing.
    """
    parser = parser_of(
        "check", "Count groups and near-duplicate images that are in both the training split and the test set."
    )
    parser.add_argument(
        "--distance",
        metavar="BITS",
        type=int,
        default=_DISTANCE,
        help=f"two images are near-duplicates if at most this many of the {BITS} bits of their perceptual hashes "
        "differ (default: %(default)s)",
    )
    options, rest = parser.parse_known_args(argv)
    if not 0 <= options.distance <= BITS // 4:
        raise ConfigError(
            f"expected --distance to be 0 to {BITS // 4}, got {options.distance}: {_DISTANCE} finds copies in other "
            "sizes and formats"
        )
    data, learn, test = read_dataset(rest)
    say_sizes(data, learn, test)
    _say_groups(data)
    if learn.image.dtype != torch.uint8:
        say(f"near-duplicates: {data.name} has features; check the folder of images that they were computed from")
        return
    with EmbedProgress(len(learn.label) + len(test.label)) as progress:
        train, tested = (_hashes(images, progress) for images in (learn, test))
    found = find_near_duplicates(train, tested, options.distance)
    say(f"near-duplicates, whose perceptual hashes differ in at most {options.distance} of {BITS} bits:")
    _say("within train", found.train, "training image", "another one", [_names(data, learn, "train")] * 2)
    _say("within test", found.test, "test image", "another one", [_names(data, test, "test")] * 2)
    both = [_names(data, test, "test"), _names(data, learn, "train")]
    _say("across", found.across, "test image", "a training image", both)


def _say_groups(data: ActiveDataModule) -> None:
    names = data.group_names
    if not names:
        say("groups: none (data.group names what belongs together)")
        return
    train, test = ({*names[part]} for part in ("train", "test"))
    shared = shared_groups(names["train"], names["test"])
    examples = f" ({name_some([*shared])}), with {counted(sum(shared.values()), 'test image')}" if shared else ""
    say(f"groups: {len(train):,} in train, {len(test):,} in test, {len(shared):,} in both{examples}")


def _hashes(images: ImageSet, progress: EmbedProgress) -> NDArray[np.uint64]:
    found = [np.empty(0, dtype=np.uint64)]
    for block in hash_images(images.image) if len(images.label) else ():
        found.append(block)
        progress.advance(len(block))
    return np.concatenate(found)


def _names(data: ActiveDataModule, images: ImageSet, part: str) -> list[str]:
    files = data.image_files(part)
    return [name for name, _ in files] if files else [f"{part} image {row}" for row in range(len(images.label))]


def _say(where: str, relation: Relation, what: str, other: str, names: list[list[str]]) -> None:
    def pair(one: Pair) -> str:
        return f"'{names[0][one.first]}' and '{names[1][one.second]}' ({one.distance})"

    verb = "looks" if relation.number == 1 else "look"
    shown = f", for example {', '.join(map(pair, relation.examples))}" if relation.number else ""
    say(f"  {where}: {counted(relation.number, what)} {verb} like {other}{shown}")
