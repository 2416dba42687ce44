"""Names of the classes that a run queried from."""

from msal_lightning.runs.reading import Run


def class_names(run: Run, count: int) -> list[str]:
    """Their names as the records have them, their numbers where none has them.

    Args:
        run: any of the comparison.
        count: how many classes there are.
    """
    known = (record.class_names for record in reversed(run.records))
    return next((list(names) for names in known if names and len(names) == count), [str(c) for c in range(count)])
