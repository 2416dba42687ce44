"""The classes of images when a class is split: the list to fill in, and its reading."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from msal_lightning.cli.amend.present_data import present_data
from msal_lightning.cli.run_config import read_for_fit
from msal_lightning.config.parser import as_user_error, build_parser, instantiate, parse
from msal_lightning.data.base import ActiveDataModule
from msal_lightning.data.class_numbers import SPLIT
from msal_lightning.data.label_files.label_table import Line, class_order, number_of_class, read_table, refuse_lines
from msal_lightning.data.places import REASONS, Place
from msal_lightning.errors import ConfigError, DataError
from msal_lightning.io.names import name_some
from msal_lightning.query.shortlist import check_classes
from msal_lightning.runs.amendments import Reclass
from msal_lightning.runs.reading import Run


@dataclass(frozen=True)
class Members:
    """The images of a class that have a label, are tested on, or are of a benchmark.

    Attributes:
        train: dataset-absolute index by path; by the index as text where the data has no files.
        test: position in the test set by path.
        data: the run's data with all labels and amendments.
    """

    train: dict[str, int]
    test: dict[str, int]
    data: ActiveDataModule

    def place(self, line: Line) -> tuple[str, str] | None:
        """Return part and path of a line; None if it is no image of the class, or of train and test alike."""
        path = line.fields["path"].removeprefix("./")
        asked = line.fields.get("split")
        parts = [part for part in ("train", "test") if path in vars(self)[part] and asked in (None, "", part)]
        return (parts[0], path) if len(parts) == 1 else None


def split(run: Run, name: str, file: Path, changes: Sequence[str], trusted: Sequence[str]) -> Reclass:
    """Return the change that splits a class.

    Args:
        run: with a finished round.
        name: the class.
        file: CSV file with the columns path and label, and optionally split with train or test.
        changes: options of ``fit`` about the data.
        trusted: classes that a stranger's configuration may name.

    Raises:
        UserError: the file lacks an image of the class, or names another one; or the data cannot be read.
    """
    found, names = members_of(run, name, changes, trusted), run.class_names
    labels = _read(file, found, name, names)
    parts = class_order({*labels.values()})
    if len(parts) < 2:
        raise DataError(
            f"expected two classes or more in FILE '{file}', got {name_some(parts)}: `rename` needs no file"
        )
    after = [parts[0] if other == name else other for other in names] + [*parts[1:]]
    rows = {part: [(k, after.index(labels[part, path])) for path, k in vars(found)[part].items()]
            for part in ("train", "test")}  # fmt: skip
    return Reclass(
        old=names,
        new=after,
        numbers=[SPLIT if other == name else c for c, other in enumerate(names)],
        index=[k for k, _ in rows["train"]],
        label=[c for _, c in rows["train"]],
        test_index=[k for k, _ in rows["test"]],
        test_label=[c for _, c in rows["test"]],
    )


def check_strategy(run: Run, num_classes: int, trusted: Sequence[str]) -> None:
    """Check that the strategy of a run works with so few classes.

    Raises:
        ConfigError: it needs more.
    """
    found = read_for_fit(run.folder, "RUN", trusted, (), ())
    parser = build_parser()
    with as_user_error():
        check_classes(instantiate(parser, parse(parser, [], base=found.values), "query").query, num_classes)


def members_of(run: Run, name: str, changes: Sequence[str], trusted: Sequence[str]) -> Members:
    """Return the images of a class.

    Args:
        run: with a finished round.
        name: the class.
        changes: options of ``fit`` about the data.
        trusted: classes that a stranger's configuration may name.

    Raises:
        UserError: there is no such class, or the data cannot be read.
    """
    names = run.class_names
    if name not in names:
        raise ConfigError(f"expected a class of the run, {name_some(names)}, got '{name}': correct the name")
    data = present_data(run, changes, trusted)
    number, places = names.index(name), data.labeled_at
    is_in = (places != Place.LEFT_OUT) & (places != Place.REMOVED)
    labeled = (places >= 0) | (places == Place.HELD_OUT)
    known = torch.where(labeled, data.labels.long(), data.hidden_labels.all())
    index = ((known == number) & is_in).nonzero()[:, 0]
    tested = (data.test.label == number).nonzero()[:, 0].tolist()
    paths, files = data.paths(index) or [str(row) for row in index.tolist()], data.image_files("test")
    return Members(
        dict(zip(paths, index.tolist(), strict=True)),
        {files[row][0] if files else str(row): row for row in tested},
        data,
    )


def _read(file: Path, found: Members, name: str, names: Sequence[str]) -> dict[tuple[str, str], str]:
    """Return the label of each image by part and path."""
    where, labels, wrong = f"FILE '{file}'", dict[tuple[str, str], str](), list[str]()
    _, lines = read_table(file, ("path", "label"), where)
    for line in lines:
        key, label = found.place(line), line.fields["label"]
        if problem := line.damage or line.wrong_split or _wrong_label(label, name, names):
            wrong.append(problem if problem.startswith("line") else f"{line.where}: {problem}")
        elif key is None:
            wrong.append(
                f"{line.where}: '{line.fields['path']}' is no image of '{name}', or one of train and test alike"
            )
        elif key in labels:
            wrong.append(f"{line.where}: '{line.fields['path']}' is there twice")
        elif label:
            labels[key] = label
    refuse_lines(wrong, where)
    missing = [(part, path) for part in ("train", "test") for path in vars(found)[part] if (part, path) not in labels]
    if missing:
        tests = sum(part == "test" for part, _ in missing)
        raise DataError(
            f"expected a label for each of the {len(found.train) + len(found.test):,} images of '{name}' in {where}, "
            f"got none for {name_some([path for _, path in missing])} ({len(missing) - tests:,} training and {tests:,} "
            "test images): `--list FILE` writes all of them"
        )
    return labels


def _wrong_label(label: str, name: str, names: Sequence[str]) -> str:
    if label in REASONS:
        return f"'{label}' is no class: each image of '{name}' gets one"
    if label in names and label != name:
        return f"'{label}' is another class of the run: `correct` moves single images there"
    if number_of_class(label, names):
        return f"'{label}' is the number of a class: write a name"
    return ""
