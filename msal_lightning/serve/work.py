"""The loop in the main thread, between the answers of people."""

import gc
from collections.abc import Callable, Sequence

from msal_lightning.errors import AnnotationError
from msal_lightning.loop.loop import ActiveLoop
from msal_lightning.oracles.base import LabelingBatch
from msal_lightning.oracles.told import Told
from msal_lightning.runs.pending import INITIAL
from msal_lightning.runs.records import RoundRecord
from msal_lightning.serve.desk import Desk
from msal_lightning.serve.facts import facts_of


def work(loop: ActiveLoop, desk: Desk, learn: Callable[[int], None]) -> None:
    """Run the loop to its end: show the open images, wait for the answers, fit.

    Args:
        loop: the loop, with oracle Told.
        desk: lends the images.
        learn: is called with the number of tested rounds while the loop stands still.

    Raises:
        Stopped: Ctrl-C or SIGTERM stopped it; answers are on disk.
        UserError: a fit or a query failed.
    """
    gc.collect()
    gc.freeze()  # the libraries stay: a collection between two rounds need not walk over them for a third of a second
    oracle, batches = loop.oracle, list[LabelingBatch]()
    assert isinstance(oracle, Told)
    while True:
        try:
            batches = loop.ask()
        except AnnotationError as error:  # the answers do not fit together, for example all name one class
            if not batches:
                raise
            for batch in batches:
                oracle.reopen(batch)
            desk.object(str(error))
            desk.wait(batches[0])
            continue
        records = tested_rounds(loop)
        learn(len(records))
        if not batches:
            break
        told = oracle.told(batches)
        desk.show(batches, told, labels_known(loop, batches), facts_of(loop, records))
        desk.wait(batches[0])
    desk.finish(facts_of(loop, records))


def tested_rounds(loop: ActiveLoop) -> list[RoundRecord]:
    """Return the records, and the draft of the round whose labels are missing."""
    draft = loop.waiting.record if loop.waiting else None
    return [*loop.records, draft] if isinstance(draft, RoundRecord) else [*loop.records]


def labels_known(loop: ActiveLoop, batches: Sequence[LabelingBatch]) -> dict[str, int]:
    """Return the number of labels that the model of each batch knew when it selected the images."""
    known = dict[str, int]()
    for batch in batches:
        number = batch.name.removeprefix("round-").partition("-")
        if batch.name.startswith(INITIAL) or not number[0].isdecimal():
            continue
        lag = 0 if number[2] else loop.options.lag  # replacements are chosen by the round's own model
        known[batch.name] = loop.labels.label_counts[max(0, int(number[0]) - lag)]
    return known
