"""One rounding rule for all shown numbers: the rule of JavaScript's ``toFixed`` in the report's page."""

import math
from decimal import ROUND_HALF_UP, Decimal


def fixed(value: float, digits: int) -> str:
    """Format a number with decimal digits; an exact half is rounded away from zero.

    Python's ``format`` rounds an exact half to the even digit: 0.125 would be 0.12 here and 0.13 in the page.

    Args:
        value: the number; NaN and infinity become words.
        digits: number of digits after the point.

    Example:
        >>> fixed(0.125, 2), fixed(-0.375, 2), fixed(0.5, 0)
        ('0.13', '-0.38', '1')
    """
    if not math.isfinite(value):
        return str(value)
    return str(Decimal(value).quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP))
