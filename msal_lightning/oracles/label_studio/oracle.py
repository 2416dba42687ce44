"""The oracle of Label Studio: images become tasks, and submitted annotations become labels."""

import json
import time
import urllib.parse
import uuid
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msal_lightning.data.label_files.label_studio import REASON_OF, vote
from msal_lightning.errors import AnnotationError
from msal_lightning.io.atomic import write_atomically
from msal_lightning.io.terminal import say
from msal_lightning.oracles.base import Annotation, AwaitingLabels, LabelingBatch, LabelingTask, Oracle
from msal_lightning.oracles.csv_files.csv_file import KnownClasses
from msal_lightning.oracles.disagreement import say_disagreements, words
from msal_lightning.oracles.label_studio.labeling_config import prediction
from msal_lightning.oracles.label_studio.majority import majority
from msal_lightning.oracles.label_studio.server import TOKEN, AwayError, Server, read_token
from msal_lightning.oracles.resolve import disagree, with_votes

if TYPE_CHECKING:
    from msal_lightning.data.base import ActiveDataModule

_STATE = "label_studio.json"  # file name in the folder queries
_VERSION = "msal_lightning"  # model version of the predictions
_AT_ONCE = 50  # images per request, so a failed request is short to repeat
_PAUSES = (1, 3)  # seconds before the second and the third try
_LISTED_WITHIN = 60  # seconds; a server with workers imports tasks later


class LabelStudio(Oracle):
    """Adds queried images as tasks to a Label Studio project; submitted annotations become labels.

    Each task has score, rank and prediction, for sorting. Run, batch and path identify a task, so a repeated request
    adds no duplicates. The access token comes from the environment variable ``LABEL_STUDIO_API_KEY`` and is sent only
    to the server.

    Args:
        url: address of the server.
        project: title of the project; created if missing.
        annotators: number of people who label each image; the majority counts, see :func:`~.majority.majority`.
        allow_new_classes: the page has a text field for new classes.
        image_url: address of the images with ``{path}`` in it, for example ``https://files.example.com/{path}``; None
            uploads them to Label Studio.

    Raises:
        AnnotationError: an option is out of range.
    """

    def __init__(
        self,
        project: str,
        url: str = "http://localhost:8080",
        annotators: int = 1,
        allow_new_classes: bool = False,
        image_url: str | None = None,
    ) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise AnnotationError(f"expected oracle.url to begin with http:// or https://, got '{url}': correct it")
        if parts.username or parts.password or parts.query:
            raise AnnotationError(
                f"expected oracle.url without a user, password or query: set a token in {TOKEN} instead"
            )
        if not 3 <= len(project.strip()) <= 50:  # limits of Label Studio
            raise AnnotationError(
                f"expected oracle.project to have 3 to 50 letters, got '{project}': choose another title"
            )
        if annotators < 1:
            raise AnnotationError(f"expected oracle.annotators to be at least 1, got {annotators}: 1 is usual")
        if image_url is not None and "{path}" not in image_url:
            raise AnnotationError(
                f"expected {{path}} in oracle.image_url, got '{image_url}': put it where the path belongs"
            )
        self.url, self.project, self.annotators = url.rstrip("/"), project.strip(), annotators
        self.allow_new_classes, self.image_url = allow_new_classes, image_url
        self._data: ActiveDataModule | None = None

    def connect(self, data: "ActiveDataModule") -> None:  # noqa: D102
        if self.image_url is None and data.locations(data.pool[:1]) is None:
            raise AnnotationError(
                f"oracle LabelStudio uploads image files, {data.name} has none: set data to ImageFolder, or "
                "oracle.image_url"
            )
        self._data = data
        read_token()  # fails before hours of training, not after
        if find_spec("label_studio_sdk") is None:
            raise AnnotationError(
                "--oracle LabelStudio needs the SDK of Label Studio, which is not installed: run "
                "`python -m pip install 'msal_lightning[label-studio]'`, or use --oracle Files"
            )

    def ask(self, batch: LabelingBatch) -> list[Annotation]:  # noqa: D102
        if not batch.class_names and not self.allow_new_classes:
            raise AnnotationError(
                "expected at least one class for the page of Label Studio, got none: name them in data.classes, or set "
                "oracle.allow_new_classes to true"
            )
        state = _State(batch.folder / _STATE)
        for pause in (*_PAUSES, None):
            try:
                return self._ask(batch, state)
            except AwayError as error:
                if pause is not None:
                    time.sleep(pause)  # repeats all steps; tasks that the server already has are not sent again
                    continue
                if batch.name in state.pushed:
                    where = f"{self.url}, which does not answer ({error})"
                    raise AwaitingLabels(len(batch.items), where, "start it; then run the same command again") from None
                raise AnnotationError(
                    f"expected Label Studio at oracle.url {self.url}, got no answer ({error}): start it with "
                    "`label-studio start` and run the same command again"
                ) from None
        raise AssertionError

    def _ask(self, batch: LabelingBatch, state: "_State") -> list[Annotation]:
        with Server(self.url) as server:
            project = server.project(self.project, batch.class_names, self.allow_new_classes, self.annotators)
            where = f"{self.url}/projects/{project}/data"
            tasks = server.tasks(project, state.run, batch.name)
            if missing := [item for item in batch.items if item.path not in tasks]:
                tasks = self._push(server, project, batch, missing, state)
            state.add(batch.name)
        answers = self._read(batch, [tasks[item.path] for item in batch.items], where)
        ready = [answer for answer in answers if answer is not None]
        if len(ready) < len(answers):
            how = "submit an annotation for each task there; then run the same command again"
            raise AwaitingLabels(len(answers) - len(ready), where, how)
        return ready

    def _push(
        self, server: "Server", project: int, batch: LabelingBatch, items: Sequence[LabelingTask], state: "_State"
    ) -> dict[str, list[Any]]:
        """Create tasks for these images; the server may have some already after an interrupted request."""
        for start in range(0, len(items), _AT_ONCE):
            part = items[start : start + _AT_ONCE]
            if self.image_url is None:
                images = server.upload(project, part, self._data.decoding if self._data else None)
            else:
                images = [self.image_url.replace("{path}", urllib.parse.quote(item.path)) for item in part]
            server.add_tasks(
                project, [_task(item, image, batch, state.run) for item, image in zip(part, images, strict=True)]
            )
        end = time.monotonic() + _LISTED_WITHIN
        while True:
            tasks = server.tasks(project, state.run, batch.name)
            if all(item.path in tasks for item in batch.items):
                return tasks
            if time.monotonic() > end:
                raise AwayError("it took the tasks but does not list them yet")
            time.sleep(1)

    def _read(self, batch: LabelingBatch, tasks: list[list[Any]], where: str) -> list[Annotation | None]:
        """Return one annotation per image; None while votes are missing.

        Args:
            batch: the requested images.
            tasks: server tasks of each image; an interrupted request may have created duplicates.
            where: page of the project.
        """
        classes = KnownClasses(batch.class_names, self.allow_new_classes)
        answers, wrong = list[Annotation | None](), list[str]()
        split = dict[str, list[str]]()
        for item, same in zip(batch.items, tasks, strict=True):
            votes = dict[str, Annotation]()
            for name, annotation in _latest(same).items():
                said = vote(annotation)
                if said is None:
                    continue
                text, written = said
                if not written and text in REASON_OF:
                    votes[name] = Annotation(None, REASON_OF[text])
                    continue
                try:
                    answer = classes.answer(text)
                except ValueError as error:
                    wrong.append(f"'{item.path}' in {where}?task={same[0].id}: {error}")
                else:
                    votes |= {name: answer} if answer else {}
            counts = majority([*votes.values()], self.annotators)
            answers.append(None if counts is None else with_votes(counts, votes))
            if disagree(votes):
                split[item.path] = [
                    *(f"{name}: {vote.word}" for name, vote in votes.items()),
                    f"counts: {words(counts)}",
                ]
        if wrong:
            many = "1 annotation" if len(wrong) == 1 else f"{len(wrong)} annotations"
            listed = "".join(f"\n  {sentence}" for sentence in wrong)
            raise AnnotationError(
                f"{many} of {batch.name} cannot be accepted, so no label was accepted: correct these annotations in "
                f"Label Studio and run the same command again{listed}"
            )
        if split and None not in answers:
            self._say_split(batch, split)
        return answers

    def _say_split(self, batch: LabelingBatch, split: dict[str, list[str]]) -> None:
        file = batch.folder / f"{batch.name}-disagreements.csv"
        try:
            listed = say_disagreements(file, split)
        except OSError as error:
            raise AnnotationError(
                f"cannot write '{file}' ({error.strerror}): free disk space or make the file writable"
            ) from None
        say(f"annotators disagree about {len(split)} of {len(batch.items)} images of {batch.name}:\n{listed}")


def _task(item: LabelingTask, image: str, batch: LabelingBatch, run: str) -> dict[str, Any]:
    """Return a task in Label Studio's format; the fields of ``data`` become columns to sort and filter by."""
    known = {"score": item.score, "confidence": item.confidence, "suggested": item.suggested}
    data = {"image": image, "question": batch.name, "rank": item.rank, "path": item.path, "run": run}
    predictions = [] if item.suggested is None else [prediction(item.suggested, item.confidence, _VERSION)]
    return {
        "data": data | {key: value for key, value in known.items() if value is not None},
        "predictions": predictions,
    }


def _latest(tasks: Sequence[Any]) -> dict[str, dict[str, Any]]:
    """Return the newest submitted annotation of each annotator, by name; drafts are not among them."""
    newest = dict[str, dict[str, Any]]()
    for task in tasks:
        for entry in task.annotations or []:
            annotation = entry if isinstance(entry, dict) else entry.model_dump()
            user = annotation.get("completed_by")
            who = user.get("email") or f"user {user.get('id')}" if isinstance(user, dict) else f"user {user}"
            age = (str(annotation.get("updated_at")), annotation["id"])
            if who not in newest or age > (str(newest[who].get("updated_at")), newest[who]["id"]):
                newest[who] = annotation
    return newest


class _State:
    """The run's notes about the server: its own name there, and the batches that are completely sent."""

    def __init__(self, file: Path) -> None:
        self._file = file
        content = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        self.run: str = content.get("run") or uuid.uuid4().hex[:12]
        self.pushed: list[str] = content.get("pushed", [])
        if not content:
            self._write()  # on disk before any task uses this name

    def add(self, batch: str) -> None:
        if batch not in self.pushed:
            self.pushed.append(batch)
            self._write()

    def _write(self) -> None:
        write_atomically(self._file, json.dumps({"run": self.run, "pushed": self.pushed}) + "\n")
