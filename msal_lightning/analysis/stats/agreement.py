"""How far annotators agree about the same images."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from msal_lightning.io.rounding import fixed
from msal_lightning.io.wording import counted

_SHOWN = 5  # pairs


@dataclass(frozen=True)
class Agreement:
    """Two annotators who labeled some of the same images.

    Attributes:
        annotators: their names.
        images: number of images that both labeled.
        same: number of images about which they agree.
        kappa: Cohen's kappa, the agreement beyond chance; None if both said one word only.
    """

    annotators: tuple[str, str]
    images: int
    same: int
    kappa: float | None

    def __str__(self) -> str:
        kappa = "" if self.kappa is None else f", Cohen's kappa {fixed(self.kappa, 2)}"
        return f"{' and '.join(self.annotators)} agree about {self.same:,} of {counted(self.images, 'image')}{kappa}"


def agreements(votes: Iterable[Sequence[tuple[str, str]]]) -> list[Agreement]:
    """Return the agreement of each pair of annotators with images in common, the lowest share first.

    Args:
        votes: pairs of annotator and word for each image; skip and unsure are words like a class.
    """
    said = defaultdict[tuple[str, str], list[tuple[str, str]]](list)
    for given in votes:
        for (one, first), (other, second) in combinations(sorted(given), 2):
            said[one, other].append((first, second))
    found = [
        Agreement(pair, len(words), sum(a == b for a, b in words), _kappa(words))
        for pair, words in sorted(said.items())
    ]
    return sorted(found, key=lambda one: one.same / one.images)


def say_agreements(found: Sequence[Agreement]) -> list[str]:
    """Return a line for each of the first pairs."""
    more = [f"{len(found) - _SHOWN} more pairs of annotators agree more often"] if len(found) > _SHOWN else []
    return [*map(str, found[:_SHOWN]), *more]


def _kappa(words: Sequence[tuple[str, str]]) -> float | None:
    if len({word for pair in words for word in pair}) < 2:
        return None
    from sklearn.metrics import cohen_kappa_score  # imported here, because few runs have two annotators

    return float(cohen_kappa_score(*zip(*words, strict=True)))
