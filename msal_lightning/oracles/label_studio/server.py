"""The server of Label Studio: requests, responses and the access token."""

import io
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from msal_lightning.compat import label_studio_headers
from msal_lightning.errors import AnnotationError, UserError
from msal_lightning.oracles.base import LabelingTask
from msal_lightning.oracles.label_studio.labeling_config import (
    completed_config,
    labeling_config,
)

if TYPE_CHECKING:
    from msal_lightning.data.images.decoding import Decoding


_T = TypeVar("_T")
TOKEN = "LABEL_STUDIO_API_KEY"
_SHOWN = {".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp"}  # formats that every browser shows and the server accepts
_WHOLE = 2**16  # pixels; larger than any image, so that a JPEG is decoded at full size
_AWAY = {408, 425, 429, 500, 502, 503, 504}  # temporary status codes of a server or its proxy


class AwayError(Exception):
    """The server does not respond at the moment."""


def read_token() -> str:
    """Read the access token from the environment.

    Raises:
        AnnotationError: the token is missing or malformed.
    """
    token = os.environ.get(TOKEN, "").strip()
    if not token:
        raise AnnotationError(
            f"expected the environment variable {TOKEN} to hold an access token of Label Studio, but it is not set: "
            "copy the token from 'Account & Settings' there"
        )
    if not re.fullmatch(r"[\x21-\x7e]+", token):  # httpx would show the token in its error
        raise AnnotationError(
            f"expected one word in the environment variable {TOKEN}, got spaces or other characters: set it again"
        )
    return token


class Server:
    """Sends requests to Label Studio through its SDK.

    Every failure is an :class:`AwayError` (try again) or a :class:`UserError`; neither contains the request with its
    token.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def __enter__(self) -> "Server":
        import httpx
        from label_studio_sdk import client

        sdk: Any = client  # the SDK's constructor has no types
        self._http = httpx.Client(timeout=60, follow_redirects=True)
        self._client: Any = self._try(
            lambda: sdk.LabelStudio(base_url=self._url, api_key=read_token(), httpx_client=self._http)
        )
        return self

    def __exit__(self, *exception: object) -> None:
        self._http.close()

    def project(self, title: str, class_names: Sequence[str], allow_new_classes: bool, annotators: int) -> int:
        """Return the number of the project with this title; create or complete it if needed."""
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
                    request_options={"max_retries": 0},  # a retry would create a second project
                )
            )
            return int(made.id)
        project = self._try(lambda: self._client.projects.get(min(project.id for project in found)))
        present = project.label_config or ""
        config = completed_config(present, class_names, allow_new_classes)
        changes: dict[str, Any] = {} if config == present else {"label_config": config}
        if (project.maximum_annotations or 1) < annotators:  # otherwise the server would hide the task too early
            changes["maximum_annotations"] = annotators
        if changes:
            self._try(lambda: self._client.projects.update(project.id, **changes))
        return int(project.id)

    def tasks(self, project: int, run: str, batch: str) -> dict[str, list[Any]]:
        """Return the tasks of a batch with their annotations, by path, oldest first."""
        wanted = {"run": run, "question": batch}
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

    def upload(self, project: int, items: Sequence[LabelingTask], decoding: "Decoding | None" = None) -> list[str]:
        """Upload image files with the SDK's authorization; the SDK itself has no method for uploads.

        Args:
            project: number of the project on the server.
            items: tasks of the batch.
            decoding: how to convert files that a browser cannot show; None for colour.

        Returns:
            Addresses of the images on the server, in order.
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
            if ids is None:  # the Enterprise edition imports files later and does not return their names
                raise AnnotationError(
                    f"expected {self._url} to accept image uploads, but this edition of Label Studio does not: serve "
                    "the images elsewhere and set oracle.image_url"
                )
            named = {file.id: file.file for file in self._client.files.list(project, ids=json.dumps(ids))}
            return [named[number] for number in ids]

        stored = {name.rpartition("-")[2]: name for name in self._try(send)}  # upload/PROJECT/UUID-NAME
        return [f"/data/{stored[files[str(item.rank)][0]]}" for item in items]

    def add_tasks(self, project: int, tasks: list[dict[str, Any]]) -> None:
        """Create tasks; call it only for images that :meth:`tasks` does not list."""
        options: Any = {"max_retries": 0}  # an SDK retry would not check which tasks have arrived
        self._try(lambda: self._client.projects.import_tasks(project, request=tasks, request_options=options))

    def _try(self, request: Callable[[], _T]) -> _T:
        from httpx import TransportError
        from label_studio_sdk.core.api_error import ApiError

        # from None: the cause holds the request's headers, and these hold the token
        try:
            return request()
        except TransportError as error:
            raise AwayError(str(error) or type(error).__name__) from None
        except ApiError as error:
            raise self._refusal(error.status_code or 0, error.body) from None
        except ValueError:  # not JSON
            raise self._refusal(200, "") from None

    def _refusal(self, status: int, body: Any) -> AwayError | UserError:
        if status in _AWAY:
            return AwayError(f"HTTP {status}")
        if status < 400 or status == 404:
            return AnnotationError(
                f"expected a Label Studio server at oracle.url, got something else: correct {self._url}"
            )
        detail = body.get("validation_errors") or body.get("detail") if isinstance(body, dict) else ""
        said = f"HTTP {status}" + (f": {detail}" if detail else "")
        said = " ".join(said.replace(read_token(), "***").split())[:300]
        if status in (401, 403):
            return AnnotationError(
                f"expected an access token for {self._url} in the environment variable {TOKEN}, but the server rejects "
                f"it ({said}): copy another token from 'Account & Settings' there"
            )
        return AnnotationError(f"Label Studio at {self._url} rejects a request ({said}): fix the cause there")


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _images(items: Sequence[LabelingTask], decoding: "Decoding | None") -> Iterator[tuple[str, bytes]]:
    """Yield suffix and content of each image in a form that browsers show: the file itself, or a PNG."""
    from msal_lightning.data.images.decoding import Decoding
    from msal_lightning.data.images.formats import UNREADABLE

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
            raise AnnotationError(f"cannot read the image '{path}' ({error}): replace it") from None
        yield ".png", out.getvalue()
