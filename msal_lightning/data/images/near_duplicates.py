"""Images that look like another image: counts within and across the training and the test part.

Two images are near-duplicates if few bits of their perceptual hashes differ. Hashes that differ in at most d bits are
equal in at least one of d + 1 parts, so that only images with an equal part are compared: multi-index hashing (Norouzi,
Punjani and Fleet 2014, arXiv 1307.2982).
"""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

BITS = 64
_BLOCK = 2**22  # pairs that are compared at once
_SHOWN = 5
_COUNTS = np.array([number.bit_count() for number in range(2**16)])  # numpy has a function for it from 2.0 on

Hashes = NDArray[np.uint64]


class Pair(NamedTuple):
    """Two images that look alike.

    Attributes:
        distance: number of bits that differ.
        first: row of the first one, in its part.
        second: row of the second one, in its part.
    """

    distance: int
    first: int
    second: int


class Relation(NamedTuple):
    """The near-duplicates of one part in another one, or in itself.

    Attributes:
        number: how many images of the first part look like an image of the second one.
        examples: some pairs, most alike first.
    """

    number: int
    examples: list[Pair]


class NearDuplicates(NamedTuple):
    """The near-duplicates of a dataset.

    Attributes:
        train: training images that look like another training image.
        test: test images that look like another test image.
        across: test images that look like a training image.
    """

    train: Relation
    test: Relation
    across: Relation


def find_near_duplicates(train: Hashes, test: Hashes, distance: int) -> NearDuplicates:
    """Find near-duplicates.

    Args:
        train: (N,) uint64, hash of each training image.
        test: (M,) uint64.
        distance: largest number of bits that differ, 0 to 63.
    """
    known, which = np.unique(np.concatenate([train, test]), return_inverse=True)
    parts = which[: len(train)], which[len(train) :]
    counts = [np.bincount(part, minlength=len(known)) for part in parts]
    found = [_Search(counts[one], counts[other], one == other) for one, other in ((0, 0), (1, 1), (1, 0))]
    for a, b, bits in _near_pairs(known, distance):
        for search in found:
            search.look_at(a, b, bits)
    first = [{int(u): [*np.flatnonzero(part == u)[:2].tolist()] for u in _shown(found)} for part in parts]
    relations = (
        search.relation(parts[one], first[one], first[other])
        for search, (one, other) in zip(found, ((0, 0), (1, 1), (1, 0)), strict=True)
    )
    return NearDuplicates(*relations)


class _Search:
    """Collects which hashes of one part are near a hash of another part, or of another image of the same part.

    Args:
        one: (U,) number of images of the part with each hash.
        other: (U,) the same of the other part.
        same: whether both are one part.
    """

    def __init__(self, one: NDArray[np.int64], other: NDArray[np.int64], same: bool) -> None:
        self._one, self._other, self._same = one, other, same
        self._near = (one > 0) & (other > same)  # equal hashes
        self.pairs = [(0, u, u) for u in np.flatnonzero(self._near)[:_SHOWN].tolist()]

    def look_at(self, a: NDArray[np.int64], b: NDArray[np.int64], bits: NDArray[np.int64]) -> None:
        """Note pairs of near hashes."""
        for first, second in ((a, b), (b, a)):
            fit = np.flatnonzero((self._one[first] > 0) & (self._other[second] > 0))
            self._near[first[fit]] = True
            if self._same and first is b:
                continue  # the same pairs again
            best = fit[np.argsort(bits[fit], kind="stable")[:_SHOWN]]
            new = zip(*(column[best].tolist() for column in (bits, first, second)), strict=True)
            self.pairs = sorted({*self.pairs, *new})[:_SHOWN]

    def relation(self, part: NDArray[np.int64], first: dict[int, list[int]], second: dict[int, list[int]]) -> Relation:
        """Turn hashes into images.

        Args:
            part: (N,) the hash of each image.
            first: the first two images of a hash in the part.
            second: the same in the other part.
        """
        examples = [Pair(bits, first[u][0], second[v][int(self._same and u == v)]) for bits, u, v in self.pairs]
        return Relation(int(self._near[part].sum()), examples)


def _shown(found: list[_Search]) -> set[int]:
    return {u for search in found for _, *both in search.pairs for u in both}


def _near_pairs(
    known: Hashes, distance: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
    """Yield pairs of different hashes that differ in few bits, some of them several times.

    Args:
        known: (U,) different hashes.
        distance: largest number of bits that differ.

    Yields:
        Places of the first and of the second hash, and the number of bits that differ.
    """
    cuts = np.linspace(0, BITS, distance + 2).round().astype(int)
    for low, high in itertools.pairwise(cuts.tolist()):
        mask = np.uint64((1 << (high - low)) - 1)
        part = (known >> np.uint64(low)) & mask
        order = np.argsort(part, kind="stable")
        ends = np.searchsorted(part[order], part[order], side="right")
        for a, b in _pairs_below(ends):
            bits = _count_bits(known[order[a]] ^ known[order[b]])
            is_near = bits <= distance
            yield order[a[is_near]], order[b[is_near]], bits[is_near]


def _count_bits(values: Hashes) -> NDArray[np.int64]:
    counts: NDArray[np.int64] = _COUNTS[values.view(np.uint16).reshape(-1, 4)].sum(axis=1)
    return counts


def _pairs_below(ends: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield all pairs (i, j) with i < j < ends[i], in blocks of limited size."""
    later = ends - np.arange(len(ends)) - 1
    total = np.cumsum(later)
    start = 0
    while start < len(ends):
        done = total[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(total, done + _BLOCK, side="right")))
        count = later[start:stop]
        first = np.repeat(np.arange(start, stop), count)
        second = np.arange(len(first)) - np.repeat(np.cumsum(count) - count, count) + first + 1
        yield first, second
        start = stop
