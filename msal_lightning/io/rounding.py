"""One rounding rule for every number that is shown, the one of JavaScript's ``toFixed`` in the report's page."""

import math
from decimal import ROUND_HALF_UP, Decimal


def fixed(value: float, digits: int) -> str:
    """Decimal digits of a number; what lies exactly in the middle is rounded away from zero.

    Python's own ``format`` rounds the middle to the even digit: 0.125 would be 0.12 here and 0.13 in the page.

    Args:
        value: may be NaN or infinite, which stay words.
        digits: behind the point.

    Example:
        >>> fixed(0.125, 2), fixed(-0.375, 2), fixed(0.5, 0)
        ('0.13', '-0.38', '1')
    """
    if not math.isfinite(value):
        return str(value)
    return str(Decimal(value).quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP))
