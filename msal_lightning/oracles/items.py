"""From what a query chose to what a person is asked."""

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.module import MSALClassifier
from msal_lightning.oracles.base import Item
from msal_lightning.oracles.conversation import shortest
from msal_lightning.oracles.suggest import suggest
from msal_lightning.selection import Selection


def make_items(data: ActiveDataModule, selection: Selection, model: MSALClassifier | None) -> tuple[Item, ...]:
    """The items of a question, with what the model says about each.

    Args:
        data: owns the images; made of files.
        selection: best first.
        model: that chose them; None: nothing is suggested.
    """
    index = selection.index
    suggested = [None] * len(index) if model is None else suggest(model, data, index)
    scores = [None] * len(index) if selection.score is None else selection.score.tolist()
    columns = zip(index.tolist(), data.paths(index) or [], data.locations(index) or [], suggested, scores, strict=True)
    return tuple(
        Item(
            index=i,
            path=path,
            file=file,
            suggested=None if guess is None else data.class_names[guess[0]],
            score=None if score is None else shortest(score),
            confidence=None if guess is None else round(guess[1], 4),
            rank=rank,
        )
        for rank, (i, path, file, guess, score) in enumerate(columns)
    )
