"""New numbers of classes that were merged, split or renamed."""

from collections.abc import Sequence

SPLIT = -1
"""Stands for the new number of a class that was split: each of its images has a new label of its own."""


def keep_numbers(numbers: Sequence[int]) -> bool:
    """Return whether each class keeps its number.

    Args:
        numbers: new number of each former class, or :data:`SPLIT`.
    """
    return [*numbers] == [*range(len(numbers))]


def one_after_the_other(first: Sequence[int], then: Sequence[int]) -> list[int]:
    """Return the numbers after two changes.

    Args:
        first: new number of each class by the first change, or :data:`SPLIT`.
        then: new number of each class by the second change, or :data:`SPLIT`.
    """
    return [SPLIT if number == SPLIT else then[number] for number in first]
