"""Embeddings of the pool and of the queried images, round by round (Fig. 2 of the paper)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from rich.progress import track
from scipy.linalg import orthogonal_procrustes
from sklearn.manifold import TSNE

from msal_lightning.analysis.figures.groups import choose_rounds, dataset_of, first_seeds, read_groups
from msal_lightning.analysis.figures.style import check_out, class_colours, save
from msal_lightning.errors import RunError
from msal_lightning.io.terminal import say
from msal_lightning.io.wording import counted
from msal_lightning.runs.embeddings import Embeddings, read_embeddings
from msal_lightning.runs.reading import Run
from msal_lightning.runs.records import RoundRecord, last_segment

_ROUNDS = 5  # as in the paper
_NAMED_CLASSES = 10  # in the legend


@dataclass(frozen=True)
class Panel:
    """A round of a run on the map.

    Attributes:
        round: number of the round.
        num_labeled: number of labels before the round's query.
        index: (n,) int64, indices of the images shown.
        place: (n, 2), positions on the map that all rounds of the run share.
        predicted: (n,) int64, predicted classes.
        queried: (n,) bool, whether this round's query selected the image.
        label: (n,) int64, true classes of the queried images, -1 elsewhere.
    """

    round: int
    num_labeled: int
    index: NDArray[np.int64]
    place: NDArray[np.float64]
    predicted: NDArray[np.int64]
    queried: NDArray[np.bool_]
    label: NDArray[np.int64]


def draw_tsne(runs: Sequence[str], out: str, rounds: Sequence[int] | None, points: int) -> None:
    """Draw small multiples: one row per method, one column per round. The lowest of several seeds is shown.

    Args:
        runs: run directories made with ``loop.keep_embeddings``, or folders of run directories.
        out: file of the picture.
        rounds: numbers of the rounds; None for about five, evenly spread.
        points: number of pool images in a row, all its rounds together, in addition to the queried images.

    Raises:
        RunError: no run has embeddings, those of a requested round are missing, or the picture cannot be written.
    """
    check_out(out)
    groups = read_groups([Path(run) for run in runs])
    chosen = first_seeds(groups)
    kept = {name: _kept(run) for name, run in chosen.items()}
    without = [str(chosen[name].folder) for name in kept if not kept[name]]
    kept = {name: embeddings for name, embeddings in kept.items() if embeddings}
    if not kept:
        raise RunError(
            f"expected runs with embeddings, found none in {', '.join(map(str, runs))}: run `fit` with "
            "--loop.keep_embeddings 1000"
        )
    shared = sorted(set.intersection(*(set(embeddings) for embeddings in kept.values())))
    if not shared:
        raise RunError("expected a round of which all runs kept embeddings, found none: draw the runs one by one")
    querying = [k for k in shared if all(chosen[name].records[k].queried.index for name in kept)]
    numbers = choose_rounds(shared if rounds else querying or shared, rounds, _ROUNDS)
    rows = {
        name: map_rounds(chosen[name], {k: kept[name][k] for k in numbers}, points)
        for name in track(list(kept), "t-SNE", transient=True)
    }
    save(small_multiples(rows, dataset_of(groups)), out)
    say(f"rounds {', '.join(map(str, numbers))} of {', '.join(str(chosen[n].folder) for n in rows)} drawn in {out}")
    if without:
        say(f"no embeddings in {', '.join(without)}: `fit` with --loop.keep_embeddings 1000 keeps them")


def map_rounds(run: Run, kept: Mapping[int, Embeddings], points: int) -> list[Panel]:
    """Compute one t-SNE over all rounds, so that they share layout and scale.

    Each round trains a new network, whose directions have another meaning. Therefore the embeddings of a round are
    centered, scaled to the same spread, and rotated onto those of the round before, by the images that both have
    (orthogonal Procrustes). This does not change the relations of distances within a round. The map shows how classes
    lie within each round; it does not show how far an image moved between rounds.

    Args:
        run: the run; its records name the queried images.
        kept: embeddings of the rounds to show, ascending.
        points: number of pool images in all rounds together; rounds show the same images if they were kept.

    Raises:
        RunError: there are too few images.
    """
    shown = {k: _thin(embeddings, _chosen(run.records[k]), points // len(kept)) for k, embeddings in kept.items()}
    turned: list[NDArray[np.float64]] = []
    previous: Embeddings | None = None
    for embeddings in shown.values():
        vectors = _normalized(embeddings)
        if previous is not None:
            _, here, there = np.intersect1d(embeddings.index, previous.index, return_indices=True)
            vectors = vectors @ _rotation(vectors[here], turned[-1][there])
        turned.append(vectors)
        previous = embeddings
    together = np.concatenate(turned)
    if len(together) < 5:
        raise RunError(f"expected at least five images in {run.folder}, got {len(together)}: raise --points")
    # the usual 30 neighbours, or as many as there are
    places = TSNE(perplexity=min(30, (len(together) - 1) / 3), init="pca", random_state=0).fit_transform(together)
    ends = np.cumsum([len(vectors) for vectors in turned])[:-1]
    panels = []
    labels = {i: c for record in run.records for i, c in zip(record.queried.index, record.queried.label, strict=True)}
    for (k, embeddings), place in zip(shown.items(), np.split(places, ends), strict=True):
        num_labeled = run.records[k].num_labeled
        is_queried = np.isin(embeddings.index, _chosen(run.records[k]))
        known = [labels.get(int(i), -1) for i in embeddings.index]
        label = np.where(is_queried, np.array(known, dtype=np.int64), -1)
        panels.append(Panel(k, num_labeled, embeddings.index, place, embeddings.predicted, is_queried, label))
    return panels


def small_multiples(rows: Mapping[str, Sequence[Panel]], title: str = "") -> Figure:
    """Draw one row per run, one column per round; the predicted class colours dots, the true class colours stars.

    Args:
        rows: name to panels; all runs have the same rounds.
        title: name of the dataset.
    """
    columns = max(map(len, rows.values()))
    figure, grid = plt.subplots(
        len(rows), columns, figsize=(0.5 + 1.9 * columns, 0.7 + 1.95 * len(rows)), layout="constrained", squeeze=False
    )
    highest = max(int(max(p.predicted.max(), p.label.max())) for panels in rows.values() for p in panels)
    colours = np.array(class_colours(highest + 1), dtype=object)
    for (name, panels), axes_of_row in zip(rows.items(), grid, strict=True):
        places = np.concatenate([panel.place for panel in panels])
        low, high = places.min(0), places.max(0)
        middle, half = (low + high) / 2, 0.55 * float((high - low).max())  # a square, with a margin
        for axes, panel in zip(axes_of_row, panels, strict=True):
            dots, stars = ~panel.queried, panel.queried
            axes.scatter(*panel.place[dots].T, s=4, c=list(colours[panel.predicted[dots]]), alpha=0.55, linewidths=0)
            axes.scatter(
                *panel.place[stars].T,
                s=28,
                c=list(colours[panel.label[stars]]),
                marker="*",
                edgecolors="black",
                linewidths=0.4,
                label="queried",
            )
            axes.set(xlim=(middle[0] - half, middle[0] + half), ylim=(middle[1] - half, middle[1] + half))
            axes.set(xticks=[], yticks=[], aspect="equal")
            axes.spines[:].set(linewidth=0.5, color="0.6")
            axes.set_title(f"round {panel.round}, {counted(panel.num_labeled, 'label')}", fontsize="small")
        axes_of_row[0].set_ylabel(name, fontsize="small")
    figure.suptitle(title, fontsize="medium")
    star = Line2D([], [], marker="*", color="white", markeredgecolor="black", markersize=8, linestyle="none")
    handles, texts = [star], ["queried (colour: true class)"]
    if highest < _NAMED_CLASSES:
        handles += [Line2D([], [], marker="o", color=c, markersize=4, linestyle="none") for c in colours]
        texts += [f"{'pool, predicted class ' if c == 0 else ''}{c}" for c in range(len(colours))]
    figure.legend(
        handles,
        texts,
        loc="outside lower center",
        ncols={1: 3, 2: 6}.get(columns, len(handles)),  # a narrow figure would cut a single line off
        frameon=False,
        fontsize="x-small",
        handletextpad=0.1,
        columnspacing=0.9,
    )
    return figure


def _kept(run: Run) -> dict[int, Embeddings]:
    # only rounds with a record, since any other file belongs to an unfinished round; and of one set of classes
    read = {record.round: read_embeddings(run.folder, record.round) for record in last_segment(run.records)}
    return {k: embeddings for k, embeddings in read.items() if embeddings is not None}


def _chosen(record: RoundRecord) -> list[int]:
    """The images that were labeled after a round, or chosen in it for later rounds."""
    return [*record.queried.index, *(record.upcoming.index if record.upcoming else [])]


def _thin(kept: Embeddings, queried: Sequence[int], points: int) -> Embeddings:
    """Keep all queried images and some of the pool, in each round the same ones if they are there."""
    is_queried = np.isin(kept.index, queried)
    order = np.random.default_rng(0).permutation(int(kept.index.max()) + 1 if len(kept.index) else 0)
    pool = np.flatnonzero(~is_queried)
    pool = pool[np.argsort(order[kept.index[pool]], kind="stable")[:points]]
    rows = np.sort(np.concatenate([np.flatnonzero(is_queried), pool]))
    return Embeddings(kept.index[rows], kept.embeddings[rows], kept.predicted[rows])


def _normalized(kept: Embeddings) -> NDArray[np.float64]:
    """Center the embeddings, and scale them to a mean squared length of 1."""
    vectors = kept.embeddings.astype(np.float64)
    vectors -= vectors.mean(0)
    spread = float(np.sqrt((vectors**2).sum(1).mean()))
    return vectors / spread if spread else vectors


def _rotation(here: NDArray[np.float64], there: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the orthogonal matrix that rotates ``here`` as near as possible to ``there``, both (n, D).

    [0] Schönemann, 1966, A generalized solution of the orthogonal Procrustes problem, Psychometrika
    """
    rotation: NDArray[np.float64] = orthogonal_procrustes(here, there)[0]
    return rotation
