"""Names of the classes that a run bought from."""

from msal_lightning.collection import Run


def class_names(run: Run, count: int) -> list[str]:
    """Their names where the data class or the folders say them, their numbers otherwise.

    Args:
        run: any of the comparison.
        count: how many classes there are.
    """
    from msal_lightning import data

    for record in reversed(run.records):
        if record.class_names is not None and len(record.class_names) == count:  # a person may have named some
            return list(record.class_names)
    known = getattr(getattr(data, run.dataset, None), "class_names", ())
    if len(known) == count:
        return [str(name) for name in known]
    names = [str(c) for c in range(count)]
    if run.dataset == "ImageFolder" and not run.config.get("data.init_args.csv"):
        for record in run.records:
            for purchase in (record.initial, record.bought):
                for label, path in zip(purchase.label, purchase.path or [], strict=False):
                    names[label] = path.partition("/")[0]
    return names
