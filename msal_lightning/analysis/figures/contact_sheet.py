"""A contact sheet of the images that each strategy queried."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
import yaml
from jsonargparse import ArgumentError, ArgumentParser
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from msal_lightning.analysis.figures.groups import choose_rounds, first_seeds, read_groups
from msal_lightning.analysis.figures.style import check_out, save
from msal_lightning.config.errors import explain
from msal_lightning.config.parser import as_user_error
from msal_lightning.config.trust import RunConfig, read_config
from msal_lightning.data import ActiveDataModule
from msal_lightning.data.batches.loading import displayable
from msal_lightning.data.batches.read_only import read_only
from msal_lightning.errors import RunError
from msal_lightning.io.terminal import say
from msal_lightning.runs.changed_images import changed_images
from msal_lightning.runs.classes import class_names
from msal_lightning.runs.image_order import read_as_recorded
from msal_lightning.runs.reading import Run

_ROUNDS = 3
_CELL = 0.72  # inches from image to image
_IMAGE = 0.62  # inches of an image itself
_TEXT = 0.32  # inches of the text below an image
_SMALL = 64  # pixels of a side up to which images are enlarged, in hard squares
_OTHERS = "expected the images that {} was made with, got others ({}) in data.root '{}': set --root to their folder"
_WIDTH = 11  # letters of a class name that fit below an image


@dataclass(frozen=True)
class Choice:
    """Some images of a query.

    Attributes:
        round: round of the query.
        image: (n, C, H, W) uint8.
        label: n class names from the oracle.
        score: n scores of the strategy; None if it has none.
    """

    round: int
    image: Tensor
    label: list[str]
    score: list[float] | None


def draw_contact_sheet(
    runs: Sequence[str],
    out: str,
    rounds: Sequence[int] | None,
    images: int,
    root: str | None,
    trusted: Sequence[str] = (),
) -> None:
    """Draw images that each method queried in some rounds. The lowest of several seeds is shown.

    The images are evenly spread over the ranks of a query and include the first one. MSAL-D queries class after class
    and k-means cluster after cluster, so the first images alone would show one class or cluster.

    Args:
        runs: run directories, or folders of run directories.
        out: file of the picture.
        rounds: numbers of the rounds; None for three, evenly spread.
        images: number of images per round.
        root: folder of the data files; None for the runs' own.
        trusted: dotted paths of third-party classes that the runs may name.

    Raises:
        RunError: the runs queried nothing, or nothing in a requested round; their images are missing; or the picture
            cannot be written.
    """
    check_out(out)
    chosen = first_seeds(read_groups([Path(run) for run in runs]))
    chosen = {name: run for name, run in chosen.items() if any(record.queried.index for record in run.records)}
    queried = [{record.round for record in run.records if record.queried.index} for run in chosen.values()]
    shared = sorted(set.intersection(*queried)) if queried else []
    if not shared:
        raise RunError(f"expected a round in which all runs queried, found none in {', '.join(runs)}")
    numbers = choose_rounds(shared, rounds, _ROUNDS)
    read: dict[str, ActiveDataModule] = {}
    blocks = {}
    for name, run in chosen.items():
        found = read_config(run.folder, ["data"], trusted)
        spec = _data_config(found, run.folder, root)
        key = yaml.safe_dump([spec, run.records[0].resolved])
        if key not in read:
            with read_only(not found.own and root is None):
                read[key] = _rebuild(spec, run)
        if change := changed_images(read[key], run.folder, run.records[0], ("train",)):
            raise RunError(_OTHERS.format(run.folder, change, read[key].root))
        blocks[f"{name} on {run.dataset}"] = [_choice(read[key], run, k, images) for k in numbers]
    save(contact_sheet(blocks), out)
    say(f"rounds {', '.join(map(str, numbers))} of {', '.join(str(r.folder) for r in chosen.values())} drawn in {out}")


def contact_sheet(blocks: Mapping[str, Sequence[Choice]]) -> Figure:
    """Draw one block per run and one row per round; each image has its label and, if any, its score below it.

    Args:
        blocks: name to choices.
    """
    columns = max(len(choice.label) for choices in blocks.values() for choice in choices)
    heights = [_CELL * len(choices) + _TEXT * len(choices) + 0.3 for choices in blocks.values()]
    width = 0.75 + _CELL * columns
    figure = plt.figure(figsize=(width, sum(heights)))
    top = sum(heights)
    for (name, choices), height in zip(blocks.items(), heights, strict=True):
        # in inches from the lower left corner of the block: one pair of axes a block, not one an image
        axes = figure.add_axes((0, (top - height) / sum(heights), 1, height / sum(heights)))
        axes.set(xlim=(0, width), ylim=(0, height))
        axes.axis("off")
        axes.text(0.08, height - 0.1, name, fontsize=9, fontweight="bold", va="top")
        for row, choice in enumerate(choices):
            _draw_row(axes, choice, height - 0.3 - row * (_CELL + _TEXT))
        axes.set(xlim=(0, width), ylim=(0, height), aspect="auto")  # imshow changed them
        top -= height
    return figure


def _draw_row(axes: Axes, choice: Choice, top: float) -> None:
    axes.text(0.08, top - _IMAGE / 2, f"round {choice.round}", fontsize=7, va="center")
    small = max(choice.image.shape[2:]) <= _SMALL
    for i, (image, label) in enumerate(zip(choice.image, choice.label, strict=True)):
        left = 0.65 + i * _CELL
        axes.imshow(
            displayable(image),
            cmap="gray",
            vmin=0,
            vmax=255,
            extent=(left, left + _IMAGE, top - _IMAGE, top),
            interpolation="nearest" if small else "antialiased",
        )
        text = label if len(label) <= _WIDTH else f"{label[: _WIDTH - 1]}…"
        middle = left + _IMAGE / 2
        axes.text(middle, top - _IMAGE - 0.03, text, fontsize=6, fontweight="bold", ha="center", va="top")
        if choice.score is not None:
            score = f"score {choice.score[i]:#.3g}"
            axes.text(middle, top - _IMAGE - 0.14, score, fontsize=5, color="0.4", ha="center", va="top")


def _choice(data: ActiveDataModule, run: Run, round: int, images: int) -> Choice:
    queried = run.records[round].queried
    number = min(images, len(queried.index))
    ranks = [rank * len(queried.index) // number for rank in range(number)]
    index = torch.tensor([queried.index[rank] for rank in ranks], dtype=torch.int64)
    try:
        data.check_paths(index, queried.path and [queried.path[rank] for rank in ranks])
    except (ValueError, IndexError) as error:
        raise RunError(_OTHERS.format(run.folder, error, data.root)) from None
    known = class_names(run.records[: round + 1]) or data.class_names  # of that time
    names = [known[queried.label[rank]] for rank in ranks]
    return Choice(round, data.pictures(index), names, queried.score and [queried.score[rank] for rank in ranks])


def _data_config(found: RunConfig, folder: Path, root: str | None) -> dict[str, Any]:
    config = found.values.get("data")
    if not isinstance(config, dict) or "class_path" not in config:
        raise RunError(f"the configuration '{folder / 'config.yaml'}' is damaged (no data): leave this run out")
    options = dict(config.get("init_args") or {})
    if root is not None:
        options["root"] = root
    return {"class_path": config["class_path"], "init_args": options}


def _rebuild(spec: dict[str, Any], run: Run) -> ActiveDataModule:
    """Rebuild the data module of a run, and read its images."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(ActiveDataModule, "data", required=True)
    try:
        config = parser.parse_object({"data": spec})
    except ArgumentError as error:
        raise RunError(f"cannot rebuild the data of {run.folder} ({explain(str(error), ['data'])})") from None
    with as_user_error():
        data: ActiveDataModule = parser.instantiate(config).data
        data.prepare_data()
        read_as_recorded(data, run.folder, run.amendments, run.records[0])
        data.setup()
    return data
