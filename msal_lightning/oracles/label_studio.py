"""People label in Label Studio, a page in the browser for one or many annotators."""

import io
import json
import os
import re
import time
import urllib.parse
import uuid
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from msal_lightning.atomic import write_atomically
from msal_lightning.compat import label_studio_headers
from msal_lightning.errors import UserError
from msal_lightning.io.terminal import say
from msal_lightning.oracles.base import Answer, Item, NotYet, Oracle, Question
from msal_lightning.oracles.disagreement import say_disagreements, words
from msal_lightning.oracles.labeling_config import (
    REASON_OF,
    completed_config,
    labeling_config,
    prediction,
    vote,
)
from msal_lightning.oracles.majority import majority
from msal_lightning.oracles.question_csv import KnownClasses

if TYPE_CHECKING:
    from msal_lightning.data.base import ActiveDataModule
    from msal_lightning.data.decoding import Decoding

_T = TypeVar("_T")
TOKEN = "LABEL_STUDIO_API_KEY"
_STATE = "label_studio.json"  # beside the files of the questions
_VERSION = "msal_lightning"  # of the predictions
_AT_ONCE = 50  # images in a request: a request that fails is short to repeat
_PAUSES = (1, 3)  # seconds before a second and a third try
_LISTED_WITHIN = 60  # seconds; a server with workers takes tasks in later
_SHOWN = {".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp"}  # by every browser, and taken by the server
_WHOLE = 2**16  # pixels: a JPEG is not decoded at less
_AWAY = {408, 425, 429, 500, 502, 503, 504}  # what a server or its proxy says for a while only


class _AwayError(Exception):
    """The server does not answer, for now."""


class LabelStudio(Oracle):
    """The queried images become tasks of a Label Studio project; what its annotators submit are the labels.

    Each task holds score, rank and prediction, for sorting; a task is known by run, question and path, so asking again
    adds nothing twice. The access token comes from the environment variable ``LABEL_STUDIO_API_KEY`` and goes nowhere
    but to the server.

    Args:
        url: of the server.
        project: its title; made where there is none.
        annotators: people who have to label an image before it counts, by :func:`~.majority.majority`.
        allow_new_classes: the page has a text field for a class that is not known.
        image_url: where the images are served, with ``{path}`` in it, as ``https://files.example.com/{path}``; None
            uploads them to Label Studio.

    Raises:
        UserError: an option out of range.
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
            raise UserError(f"expected oracle.url to begin with http:// or https://, got '{url}': correct it")
        if parts.username or parts.password or parts.query:
            raise UserError(f"expected oracle.url without a user, password or query: set a token in {TOKEN} instead")
        if not 3 <= len(project.strip()) <= 50:  # Label Studio's own bounds
            raise UserError(f"expected oracle.project to have 3 to 50 letters, got '{project}': choose another title")
        if annotators < 1:
            raise UserError(f"expected oracle.annotators to be at least 1, got {annotators}: 1 is usual")
        if image_url is not None and "{path}" not in image_url:
            raise UserError(f"expected {{path}} in oracle.image_url, got '{image_url}': put it where the path belongs")
        self.url, self.project, self.annotators = url.rstrip("/"), project.strip(), annotators
        self.allow_new_classes, self.image_url = allow_new_classes, image_url
        self._data: ActiveDataModule | None = None

    def connect(self, data: "ActiveDataModule") -> None:  # noqa: D102
        if self.image_url is None and data.locations(data.pool[:1]) is None:
            raise UserError(
                f"oracle LabelStudio uploads image files, {data.name} has none: set data to ImageFolder, or "
                "oracle.image_url"
            )
        self._data = data
        _token()  # before hours of training, not after
        if find_spec("label_studio_sdk") is None:
            raise UserError(
                "--oracle LabelStudio needs the SDK of Label Studio, which is not installed: run "
                "`python -m pip install 'msal_lightning[label-studio]'`, or use --oracle Files"
            )

    def ask(self, question: Question) -> list[Answer]:  # noqa: D102
        if not question.class_names and not self.allow_new_classes:
            raise UserError(
                "expected at least one class for the page of Label Studio, got none: name them in data.classes, or set "
                "oracle.allow_new_classes to true"
            )
        state = _State(question.folder / _STATE)
        for pause in (*_PAUSES, None):
            try:
                return self._ask(question, state)
            except _AwayError as error:
                if pause is not None:
                    time.sleep(pause)  # all of it again: what the server has already is not pushed a second time
                    continue
                if question.name in state.pushed:
                    where = f"{self.url}, which does not answer ({error})"
                    raise NotYet(len(question.items), where, "start it; then give the same command again") from None
                raise UserError(
                    f"expected Label Studio at oracle.url {self.url}, got no answer ({error}): start it with "
                    "`label-studio start` and give the same command again"
                ) from None
        raise AssertionError

    def _ask(self, question: Question, state: "_State") -> list[Answer]:
        with _Server(self.url) as server:
            project = server.project(self.project, question.class_names, self.allow_new_classes, self.annotators)
            where = f"{self.url}/projects/{project}/data"
            tasks = server.tasks(project, state.run, question.name)
            if missing := [item for item in question.items if item.path not in tasks]:
                tasks = self._push(server, project, question, missing, state)
            state.add(question.name)
        answers = self._read(question, [tasks[item.path] for item in question.items], where)
        ready = [answer for answer in answers if answer is not None]
        if len(ready) < len(answers):
            how = "submit an annotation for each task there; then give the same command again"
            raise NotYet(len(answers) - len(ready), where, how)
        return ready

    def _push(
        self, server: "_Server", project: int, question: Question, items: Sequence[Item], state: "_State"
    ) -> dict[str, list[Any]]:
        """Make the tasks of these items; they may be there already when a request before was cut off."""
        for start in range(0, len(items), _AT_ONCE):
            part = items[start : start + _AT_ONCE]
            if self.image_url is None:
                images = server.upload(project, part, self._data.decoding if self._data else None)
            else:
                images = [self.image_url.replace("{path}", urllib.parse.quote(item.path)) for item in part]
            server.add_tasks(
                project, [_task(item, image, question, state.run) for item, image in zip(part, images, strict=True)]
            )
        end = time.monotonic() + _LISTED_WITHIN
        while True:
            tasks = server.tasks(project, state.run, question.name)
            if all(item.path in tasks for item in question.items):
                return tasks
            if time.monotonic() > end:
                raise _AwayError("it took the tasks but does not list them yet")
            time.sleep(1)

    def _read(self, question: Question, tasks: list[list[Any]], where: str) -> list[Answer | None]:
        """An answer an item, None where votes are missing.

        Args:
            question: what was asked.
            tasks: of each item; more than one where a request was cut off at the wrong instant.
            where: page of the project.
        """
        classes = KnownClasses(question.class_names, self.allow_new_classes)
        answers, wrong = list[Answer | None](), list[str]()
        split = dict[str, list[str]]()
        for item, same in zip(question.items, tasks, strict=True):
            votes = list[Answer]()
            for annotation in _latest(same):
                said = vote(annotation)
                if said is None:
                    continue
                text, written = said
                if not written and text in REASON_OF:
                    votes.append(Answer(None, REASON_OF[text]))
                    continue
                try:
                    answer = classes.answer(text)
                except ValueError as error:
                    wrong.append(f"'{item.path}' in {where}?task={same[0].id}: {error}")
                else:
                    votes += [answer] if answer else []
            answers.append(majority(votes, self.annotators))
            if len({*votes}) > 1:
                split[item.path] = [*map(words, votes), f"counts: {words(answers[-1])}"]
        if wrong:
            many = "1 annotation" if len(wrong) == 1 else f"{len(wrong)} annotations"
            listed = "".join(f"\n  {sentence}" for sentence in wrong)
            raise UserError(
                f"{many} of {question.name} cannot be taken over, so nothing was: correct what follows in Label Studio "
                f"and give the same command again{listed}"
            )
        if split and None not in answers:
            self._say_split(question, split)
        return answers

    def _say_split(self, question: Question, split: dict[str, list[str]]) -> None:
        file = question.folder / f"{question.name}-disagreements.csv"
        try:
            listed = say_disagreements(file, split)
        except OSError as error:
            raise UserError(f"cannot write '{file}' ({error.strerror}): make room or give it back to you") from None
        say(f"annotators disagree about {len(split)} of {len(question.items)} images of {question.name}:\n{listed}")


def _task(item: Item, image: str, question: Question, run: str) -> dict[str, Any]:
    """In Label Studio's format; what is in ``data`` becomes columns that annotators can sort and filter by."""
    known = {"score": item.score, "confidence": item.confidence, "suggested": item.suggested}
    data = {"image": image, "question": question.name, "rank": item.rank, "path": item.path, "run": run}
    predictions = [] if item.suggested is None else [prediction(item.suggested, item.confidence, _VERSION)]
    return {
        "data": data | {key: value for key, value in known.items() if value is not None},
        "predictions": predictions,
    }


def _latest(tasks: Sequence[Any]) -> list[dict[str, Any]]:
    """The newest submitted annotation of each annotator; drafts are kept elsewhere and do not count."""
    newest = dict[Any, dict[str, Any]]()
    for task in tasks:
        for entry in task.annotations or []:
            annotation = entry if isinstance(entry, dict) else entry.model_dump()
            who = annotation.get("completed_by")
            who = who.get("id") if isinstance(who, dict) else who
            age = (str(annotation.get("updated_at")), annotation["id"])
            if who not in newest or age > (str(newest[who].get("updated_at")), newest[who]["id"]):
                newest[who] = annotation
    return list(newest.values())


class _State:
    """What the run remembers of the server: its own name there, and which questions are there as a whole."""

    def __init__(self, file: Path) -> None:
        self._file = file
        content = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        self.run: str = content.get("run") or uuid.uuid4().hex[:12]
        self.pushed: list[str] = content.get("pushed", [])
        if not content:
            self._write()  # before the first task has that name

    def add(self, question: str) -> None:
        if question not in self.pushed:
            self.pushed.append(question)
            self._write()

    def _write(self) -> None:
        write_atomically(self._file, json.dumps({"run": self.run, "pushed": self.pushed}) + "\n")


def _token() -> str:
    token = os.environ.get(TOKEN, "").strip()
    if not token:
        raise UserError(
            f"expected the environment variable {TOKEN} to hold an access token of Label Studio, it is not set: take "
            "one from 'Account & Settings' there"
        )
    if not re.fullmatch(r"[\x21-\x7e]+", token):  # httpx would show it in its complaint
        raise UserError(
            f"expected one word in the environment variable {TOKEN}, got spaces or other signs: set it anew"
        )
    return token


class _Server:
    """The requests to Label Studio, through its SDK.

    Every failure is an :class:`_AwayError` (try again) or a :class:`UserError`; neither holds a request and its token.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def __enter__(self) -> "_Server":
        import httpx
        from label_studio_sdk import client

        sdk: Any = client  # its own constructor has no types
        self._http = httpx.Client(timeout=60, follow_redirects=True)
        self._client: Any = self._try(
            lambda: sdk.LabelStudio(base_url=self._url, api_key=_token(), httpx_client=self._http)
        )
        return self

    def __exit__(self, *exception: object) -> None:
        self._http.close()

    def project(self, title: str, class_names: Sequence[str], allow_new_classes: bool, annotators: int) -> int:
        """Number of the project with this title and a page that has the classes; made where there is none."""
        found = self._try(lambda: [project for project in self._client.projects.list() if project.title == title])
        if not found:
            made = self._try(
                lambda: self._client.projects.create(
                    title=title,
                    description="Images that a run of msal_lightning queries.",
                    label_config=labeling_config(class_names, allow_new_classes),
                    maximum_annotations=annotators,
                    show_skip_button=True,
                    show_collab_predictions=True,
                    request_options={"max_retries": 0},  # a second one would be made
                )
            )
            return int(made.id)
        project = self._try(lambda: self._client.projects.get(min(project.id for project in found)))
        present = project.label_config or ""
        config = completed_config(present, class_names, allow_new_classes)
        changes: dict[str, Any] = {} if config == present else {"label_config": config}
        if (project.maximum_annotations or 1) < annotators:  # else the server would stop to ask too early
            changes["maximum_annotations"] = annotators
        if changes:
            self._try(lambda: self._client.projects.update(project.id, **changes))
        return int(project.id)

    def tasks(self, project: int, run: str, question: str) -> dict[str, list[Any]]:
        """The tasks of a question with their annotations, by path, oldest first."""
        wanted = {"run": run, "question": question}
        items = [
            {"filter": f"filter:tasks:data.{key}", "operator": "equal", "type": "String", "value": value}
            for key, value in wanted.items()
        ]
        query = json.dumps({"filters": {"conjunction": "and", "items": items}})
        tasks = dict[str, list[Any]]()
        for task in self._try(
            lambda: list(self._client.tasks.list(project=project, fields="all", query=query, page_size=100))
        ):
            if all(task.data.get(key) == value for key, value in wanted.items()):
                tasks.setdefault(task.data["path"], []).append(task)
        return {path: sorted(same, key=lambda task: task.id) for path, same in tasks.items()}

    def upload(self, project: int, items: Sequence[Item], decoding: "Decoding | None" = None) -> list[str]:
        """Send image files; the SDK has no method for it, so the request is our own, with the SDK's authorization.

        Args:
            project: its number on the server.
            items: of the question.
            decoding: how files that a browser does not show are made to be seen; None: in colour.

        Returns:
            Their addresses on the server, in the order of the items.
        """
        images = zip(items, _images(items, decoding), strict=True)
        files = {str(item.rank): (f"{item.rank:06d}{suffix}", content) for item, (suffix, content) in images}

        def send() -> list[str]:
            response = self._http.post(
                f"{self._url}/api/projects/{project}/import",
                params={"commit_to_project": "false"},
                files=files,
                headers=label_studio_headers(self._client),
            )
            if response.status_code >= 300:
                raise self._refusal(response.status_code, _json(response.text))
            ids = response.json().get("file_upload_ids")
            if ids is None:  # the Enterprise edition takes files in later, without telling their names
                raise UserError(
                    f"expected {self._url} to take image files, which this edition of Label Studio does not: serve the "
                    "images elsewhere and set oracle.image_url"
                )
            named = {file.id: file.file for file in self._client.files.list(project, ids=json.dumps(ids))}
            return [named[number] for number in ids]

        stored = {name.rpartition("-")[2]: name for name in self._try(send)}  # upload/PROJECT/UUID-NAME
        return [f"/data/{stored[files[str(item.rank)][0]]}" for item in items]

    def add_tasks(self, project: int, tasks: list[dict[str, Any]]) -> None:
        """Make tasks; called for those that :meth:`tasks` does not have."""
        options: Any = {"max_retries": 0}  # the SDK would send them again without looking what has arrived
        self._try(lambda: self._client.projects.import_tasks(project, request=tasks, request_options=options))

    def _try(self, request: Callable[[], _T]) -> _T:
        from httpx import TransportError
        from label_studio_sdk.core.api_error import ApiError

        # from None: what is below has the headers of the request, and those have the token
        try:
            return request()
        except TransportError as error:
            raise _AwayError(str(error) or type(error).__name__) from None
        except ApiError as error:
            raise self._refusal(error.status_code or 0, error.body) from None
        except ValueError:  # not JSON
            raise self._refusal(200, "") from None

    def _refusal(self, status: int, body: Any) -> _AwayError | UserError:
        if status in _AWAY:
            return _AwayError(f"HTTP {status}")
        if status < 400 or status == 404:
            return UserError(f"expected a Label Studio server at oracle.url, got something else: correct {self._url}")
        detail = body.get("validation_errors") or body.get("detail") if isinstance(body, dict) else ""
        said = f"HTTP {status}" + (f": {detail}" if detail else "")
        said = " ".join(said.replace(_token(), "***").split())[:300]
        if status in (401, 403):
            return UserError(
                f"expected an access token for {self._url} in the environment variable {TOKEN}, the server refuses the "
                f"one that is there ({said}): take another one from 'Account & Settings' there"
            )
        return UserError(f"Label Studio at {self._url} refuses a request ({said}): mend it there")


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _images(items: Sequence[Item], decoding: "Decoding | None") -> Iterator[tuple[str, bytes]]:
    """Suffix and content of each image as a browser can show it: as it lies on disk, or as PNG."""
    from msal_lightning.data.decoding import Decoding
    from msal_lightning.data.formats import UNREADABLE

    how = decoding or Decoding(1, 3)
    for item in items:
        suffix, path = item.file.suffix.lower(), str(item.file)
        try:
            if suffix in _SHOWN and how.is_plain(path):
                yield suffix, item.file.read_bytes()
                continue
            out = io.BytesIO()
            how.picture(path, _WHOLE).save(out, "PNG")
        except UNREADABLE as error:
            raise UserError(f"cannot read the image '{path}' ({error}): replace it") from None
        yield ".png", out.getvalue()
