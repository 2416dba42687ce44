"""Colour and dashes of a method, which are the same in every figure and page, beside any other methods."""

from dataclasses import dataclass
from hashlib import blake2b

COLOURS = ("#0072b2", "#d55e00", "#00805d", "#b0518c", "#b07a00", "#2f94cf", "#444444")
"""After Okabe and Ito, 2008, Color Universal Design; yellow and black replaced where white paper would hide them."""
DASHES = (
    *((), (7, 4), (2, 3), (9, 3, 2, 3), (12, 4)),
    *((5, 2, 1, 2), (3, 1.5), (1, 2), (12, 3, 2, 3, 2, 3), (6, 2, 6, 6), (14, 2, 3, 2), (4, 6)),
)
"""Lengths of strokes and gaps, in pixels of the page. The first five are those of known methods."""
_USUAL = 5
# The position gives one of 35 pairs of colour and dashes; variants and other methods use further dashes.
_KNOWN = (
    *("MSAL-D", "MSAL", "Margin", "Entropy", "LeastConf", "BADGE", "KCenter"),
    *("Margin(MSAL)", "Entropy(MSAL)", "LeastConf(MSAL)", "BALD", "CEAL(Entropy)", "DBAL", "KMeans"),
    *("Margin(MSAL-D)", "Entropy(MSAL-D)", "LeastConf(MSAL-D)", "MeanSTD", "VarRatio", "KMeans (GPU)", "Random"),
    *("MarginD", "EntropyD", "LeastConfD", "CEAL(MSAL)", "TypiClust", "ProbCover", "BatchBALD"),
    *("PowerBALD", "SoftmaxBALD", "Full"),
)


@dataclass(frozen=True)
class MethodStyle:
    """The look of a method's curve.

    Attributes:
        colour: index into COLOURS.
        dash: index into DASHES.
    """

    colour: int
    dash: int


def method_style(name: str) -> MethodStyle:
    """Derive the style from the name alone; a variant has the colour of its method.

    Args:
        name: name of the method in tables and figures: ``MSAL-D``, or ``MSAL-D, beta=10`` for a variant.
    """
    base, *variant = name.split(", ")
    number = _KNOWN.index(base) if base in _KNOWN else None
    if number is not None and not variant:
        return MethodStyle(number % len(COLOURS), number % _USUAL)
    # figures write query.beta=10, tables beta=10
    words = sorted(word.removeprefix("query.").removeprefix("model.") for word in variant)
    drawn = int.from_bytes(blake2b("\n".join([base, *words]).encode(), digest_size=8).digest(), "big")
    further = len(DASHES) - _USUAL
    colour = drawn // further if number is None else number
    return MethodStyle(colour % len(COLOURS), _USUAL + drawn % further)
