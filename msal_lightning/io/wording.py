"""Numbers with their nouns."""


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 image``, ``2,400 images``, ``2 classes``, ``3 queries``.

    Args:
        number: the number.
        noun: the noun in the singular.
    """
    if number == 1:
        return f"1 {noun}"
    if noun.endswith("y"):
        return f"{number:,} {noun[:-1]}ies"
    return f"{number:,} {noun}{'es' if noun.endswith('s') else 's'}"
