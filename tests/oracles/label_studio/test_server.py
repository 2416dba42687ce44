"""LabelStudio with a real server from PyPI, people's annotations through its HTTP interface, and kills.

Makes a virtual environment for the server (minutes); LABEL_STUDIO_VENV names one that is there already.
"""

import csv
import io
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from msal_lightning.data.label_files import label_studio
from msal_lightning.data.label_files.label_set import LabelRow, LabelSet
from msal_lightning.data.label_files.reading import read_label_file
from msal_lightning.errors import UserError
from msal_lightning.oracles import Annotation, AwaitingLabels, LabelingBatch, LabelingTask, LabelStudio
from msal_lightning.oracles.label_studio import server as module
from msal_lightning.oracles.label_studio.labeling_config import labeling_config

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")]
TOKEN = "5ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2"
NAME, PASSWORD = "annotator@example.com", "only for this test"
CLASSES = ("cat", "<dog> & \"fox\"\n'日本'")


class Server:
    """A Label Studio server with SQLite in a folder, in a process group of its own."""

    def __init__(self, program, folder):
        self.program, self.folder = program, folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "server.log"

    def start(self):
        import httpx

        environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "LABEL_"))}
        quiet = {
            "COLLECT_ANALYTICS": "false",
            "LATEST_VERSION_CHECK": "false",
            "SENTRY_DSN": "",
            "FRONTEND_SENTRY_DSN": "",
        }
        command = [self.program, "start", "--no-browser", "--port", str(self.port), "--internal-host", "127.0.0.1"]
        command += ["--username", NAME, "--password", PASSWORD, "--user-token", TOKEN, "--enable-legacy-api-token"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--data-dir", str(self.folder)],
                env=environment | quiet | {"DJANGO_DB": "sqlite", "LABEL_STUDIO_BASE_DATA_DIR": str(self.folder)},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        for _ in range(900):  # the first start makes the database
            assert self.process.poll() is None, self.log.read_text()
            try:
                if httpx.get(f"{self.url}/api/version", timeout=5).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(1)
        raise AssertionError(self.log.read_text())

    def kill(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    pytest.importorskip("label_studio_sdk")
    place = tmp_path_factory.mktemp("label_studio")
    environment = os.environ.get("LABEL_STUDIO_VENV")
    if environment is None:
        environment = place / "venv"
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        subprocess.run([environment / "bin" / "pip", "install", "--quiet", "label-studio"], check=True)
    (place / "data").mkdir()
    server = Server(Path(environment) / "bin" / "label-studio", place / "data")
    server.start()
    yield server
    server.kill()


@pytest.fixture(autouse=True)
def token(monkeypatch):
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", TOKEN)


@pytest.fixture
def person(server):
    """The SDK's client as a person's program would use it."""
    import httpx
    from label_studio_sdk.client import LabelStudio as Client

    with httpx.Client(timeout=120) as http:
        yield Client(base_url=server.url, api_key=TOKEN, httpx_client=http)


@pytest.fixture
def ask_about(tmp_path):
    """``ask_about("round-000", 5)``: a question about so many new images."""
    (tmp_path / "queries").mkdir()
    made = iter(range(10_000))

    def make(name, count, classes=CLASSES, suffixes=(".png", ".jpg", ".tif", ".pgm")):
        items = []
        for rank in range(count):
            number = next(made)
            file = tmp_path / f"images é/{number:04d} %20{suffixes[number % len(suffixes)]}"
            file.parent.mkdir(exist_ok=True)
            Image.fromarray(np.random.default_rng(number).integers(0, 256, (24, 24), dtype=np.uint8)).save(file)
            suggested = classes[number % len(classes)] if name != "initial" else None
            score = None if suggested is None else 1 / (1 + rank)
            confidence = None if suggested is None else 0.25
            path = file.relative_to(tmp_path).as_posix()
            items.append(LabelingTask(number, path, file, suggested, score, confidence, rank))
        return LabelingBatch(name, tuple(items), classes, tmp_path / "queries")

    return make


def choose(choice, **more):
    said = {"from_name": "label", "to_name": "image", "type": "choices", "value": {"choices": [choice]}}
    return {"result": [said]} | more


def tasks_of(person, oracle):
    (project,) = [p for p in person.projects.list() if p.title == oracle.project]
    return list(person.tasks.list(project=project.id, fields="all", page_size=100))


def waits(oracle, batch, count):
    with pytest.raises(AwaitingLabels) as waiting:
        oracle.ask(batch)
    assert waiting.value.count == count
    return waiting.value.where


def truth(item):
    return CLASSES[item.index // 2 % 2]


def test_three_rounds_with_kills_of_the_server(server, person, ask_about, tmp_path, capfd):
    oracle = LabelStudio("three rounds", url=server.url)
    for number, name in enumerate(("initial", "round-000", "round-001")):
        batch = ask_about(name, 130 if number == 1 else 6)  # more than a page of the server's list
        before = len(tasks_of(person, oracle)) if number else 0
        if number == 1:
            kill_while_pushing(server, oracle, batch)
            server.start()
        waits(oracle, batch, len(batch.items))
        pushed = tasks_of(person, oracle)[before:]
        assert sorted(task.data["path"] for task in pushed) == sorted(item.path for item in batch.items)
        tasks = {task.data["path"]: task for task in pushed}
        for item in batch.items:
            task = tasks[item.path]
            assert (task.data["rank"], task.data.get("score")) == (item.rank, item.score)
            predictions = [p if isinstance(p, dict) else p.model_dump() for p in task.predictions]
            predicted = [prediction["result"][0]["value"]["choices"] for prediction in predictions]
            assert predicted == ([] if item.suggested is None else [[item.suggested]])
        half = batch.items[::2]
        for item in half:
            person.annotations.create(id=tasks[item.path].id, **choose(truth(item)))
        waits(oracle, batch, len(batch.items) - len(half))
        if number == 2:
            server.kill()  # between push and pull
            assert "does not answer" in waits(oracle, batch, len(batch.items))
            server.start()
        for item in batch.items[1::2]:
            person.annotations.create(id=tasks[item.path].id, **choose(truth(item)))
        assert oracle.ask(batch) == [Annotation(truth(item)) for item in batch.items]
        assert oracle.ask(batch) == [Annotation(truth(item)) for item in batch.items]  # after a kill of the run
        assert len(tasks_of(person, oracle)) == before + len(batch.items)
    written = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert len(written) > 100
    assert not [file for file in written if TOKEN.encode() in file.read_bytes()]
    assert TOKEN not in "".join(capfd.readouterr())


def kill_while_pushing(server, oracle, batch):
    """SIGKILL when the first batch is there and the push is still under way."""
    ended = []

    def push():
        try:
            oracle.ask(batch)
        except Exception as error:
            ended.append(error)

    thread = threading.Thread(target=push)
    thread.start()
    database = server.folder / "label_studio.sqlite3"
    for _ in range(6000):
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
            (count,) = connection.execute("select count(*) from task").fetchone()
        connection.close()
        if count > 10 or not thread.is_alive():
            break
        time.sleep(0.01)
    server.kill()
    thread.join()
    (error,) = ended
    assert isinstance(error, UserError), error
    assert 10 < count < 6 + len(batch.items)


def test_images_as_they_are_on_disk(server, person, ask_about):
    import httpx

    oracle = LabelStudio("images", url=server.url)
    batch = ask_about("initial", 8)
    waits(oracle, batch, 8)
    for task in tasks_of(person, oracle):
        item = batch.items[task.data["rank"]]
        assert task.data["path"] == item.path
        answer = httpx.get(server.url + task.data["image"], headers={"Authorization": f"Token {TOKEN}"})
        assert answer.headers["content-type"].startswith("image/")
        shown = np.array(Image.open(io.BytesIO(answer.content)))
        np.testing.assert_array_equal(shown, np.array(Image.open(item.file)))


def test_images_that_are_served_elsewhere(server, person, ask_about):
    oracle = LabelStudio("elsewhere", url=server.url, image_url="http://files.example.com/{path}?x=1")
    batch = ask_about("initial", 2)
    waits(oracle, batch, 2)
    assert {task.data["image"] for task in tasks_of(person, oracle)} == {
        f"http://files.example.com/images%20%C3%A9/000{n}%20%2520.{end}?x=1" for n, end in ((0, "png"), (1, "jpg"))
    }


def test_skip_unsure_drafts_and_changed_annotations(server, person, ask_about):
    import httpx

    oracle = LabelStudio("skips", url=server.url)
    batch = ask_about("round-000", 5)
    waits(oracle, batch, 5)
    tasks = sorted(tasks_of(person, oracle), key=lambda task: task.data["rank"])
    person.annotations.create(id=tasks[0].id, result=[], was_cancelled=True)  # Label Studio's own button
    person.annotations.create(id=tasks[1].id, **choose("(skip)"))
    person.annotations.create(id=tasks[2].id, **choose("(unsure)"))
    made = person.annotations.create(id=tasks[3].id, **choose("cat"))
    person.annotations.update(id=made.id, **choose(CLASSES[1]))
    draft = choose("cat", lead_time=1.0)
    said = httpx.post(
        f"{server.url}/api/tasks/{tasks[4].id}/drafts", json=draft, headers={"Authorization": f"Token {TOKEN}"}
    )
    assert said.status_code == 201
    waits(oracle, batch, 1)
    person.annotations.create(id=tasks[4].id, **choose("cat"))
    skip = Annotation(None, "skip")
    assert oracle.ask(batch) == [skip, skip, Annotation(None, "unsure"), Annotation(CLASSES[1]), Annotation("cat")]


def test_several_annotators(server, person, ask_about):
    oracle = LabelStudio("several", url=server.url, annotators=3)
    batch = ask_about("round-000", 3)
    waits(oracle, batch, 3)
    people = [person.users.whoami().id]
    people += [person.users.create(email=f"{n}@example.com", username=f"{n}").id for n in "xy"]
    tasks = sorted(tasks_of(person, oracle), key=lambda task: task.data["rank"])
    votes = [("cat", "cat", CLASSES[1]), ("cat", CLASSES[1], "(skip)"), ("(skip)", "(skip)", "cat")]
    for n, who in enumerate(people):
        for task, said in zip(tasks, votes, strict=True):
            person.annotations.create(id=task.id, **choose(said[n], completed_by=who))
        if n == 0:  # the same person again: no second vote
            person.annotations.create(id=tasks[0].id, **choose("cat", completed_by=who))
        if n < 2:
            waits(oracle, batch, 3)
    assert oracle.ask(batch) == [Annotation("cat"), Annotation(None, "unsure"), Annotation(None, "skip")]


def test_new_classes(server, person, ask_about):
    oracle = LabelStudio("new classes", url=server.url, allow_new_classes=True)
    batch = ask_about("round-000", 2)
    waits(oracle, batch, 2)
    tasks = sorted(tasks_of(person, oracle), key=lambda task: task.data["rank"])
    written = {"from_name": "new_class", "to_name": "image", "type": "textarea", "value": {"text": ["bird"]}}
    person.annotations.create(id=tasks[0].id, result=[*choose("(new class)")["result"], written])
    person.annotations.create(id=tasks[1].id, **choose("cat"))
    assert oracle.ask(batch) == [Annotation("bird"), Annotation("cat")]
    waits(oracle, later := ask_about("round-001", 1, classes=(*CLASSES, "bird")), 1)
    person.annotations.create(id=tasks_of(person, oracle)[-1].id, **choose("bird"))
    assert oracle.ask(later) == [Annotation("bird")]


def test_a_choice_that_somebody_added_to_the_page(server, person, ask_about):
    oracle = LabelStudio("by hand", url=server.url)
    batch = ask_about("round-000", 2)
    waits(oracle, batch, 2)
    (project,) = [p for p in person.projects.list() if p.title == oracle.project]
    config = person.projects.get(project.id).label_config.replace("</Choices>", '<Choice value="cow"/></Choices>')
    person.projects.update(project.id, label_config=config)
    for task in tasks_of(person, oracle):
        person.annotations.create(id=task.id, **choose("cow"))
    with pytest.raises(UserError, match=r"2 annotations of round-000 .*\n.*the class 'cow' is not known"):
        oracle.ask(batch)
    assert '"cow"' in person.projects.get(project.id).label_config


def test_a_project_for_something_else(server, person, ask_about):
    page = "<View><Text name='t' value='$text'/><Choices name='c' toName='t'><Choice value='x'/></Choices></View>"
    person.projects.create(title="something else", label_config=page)
    with pytest.raises(UserError, match=r"set oracle\.project"):
        LabelStudio("something else", url=server.url).ask(ask_about("initial", 1))


def test_two_runs_share_a_project(server, person, ask_about, tmp_path):
    oracle = LabelStudio("shared", url=server.url)
    batch = ask_about("initial", 2)
    waits(oracle, batch, 2)
    for task in tasks_of(person, oracle):
        person.annotations.create(id=task.id, **choose("cat"))
    (tmp_path / "other").mkdir()
    waits(oracle, LabelingBatch(batch.name, batch.items, CLASSES, tmp_path / "other"), 2)
    assert oracle.ask(batch) == [Annotation("cat")] * 2


def test_a_personal_access_token(server, ask_about, monkeypatch, tmp_path):
    import httpx

    with httpx.Client(base_url=server.url, follow_redirects=True) as browser:
        browser.get("/user/login/")
        form = {"email": NAME, "password": PASSWORD, "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
        browser.post("/user/login/", data=form, headers={"Referer": server.url})
        made = browser.post("/api/token/", headers={"X-CSRFToken": browser.cookies["csrftoken"], "Referer": server.url})
        personal = made.json()["token"]
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", personal)
    waits(LabelStudio("personal", url=server.url), ask_about("initial", 2), 2)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", wrong := "0" * 40)
    with pytest.raises(UserError, match="the server rejects it") as error:
        LabelStudio("personal", url=server.url).ask(ask_about("round-000", 2))
    assert wrong not in str(error.value)
    assert not [f for f in tmp_path.rglob("*.json") if personal in f.read_text()]


def test_a_request_that_arrived_twice(server, person, ask_about, monkeypatch):
    """The server made the tasks, but its answer was lost: two tasks of an image are one."""
    oracle = LabelStudio("twice", url=server.url)
    batch = ask_about("round-000", 2)
    real = module.Server.add_tasks

    def twice(self, project, tasks):
        real(self, project, tasks)
        real(self, project, tasks)

    monkeypatch.setattr(module.Server, "add_tasks", twice)
    waits(oracle, batch, 2)
    _, second, third, _ = sorted(tasks_of(person, oracle), key=lambda task: task.id)
    person.annotations.create(id=third.id, **choose("cat"))
    waits(oracle, batch, 1)
    person.annotations.create(id=second.id, **choose(CLASSES[1]))
    assert oracle.ask(batch) == [Annotation("cat"), Annotation(CLASSES[1])]
    assert json.loads((batch.folder / "label_studio.json").read_text())["pushed"] == ["round-000"]


def test_fit_with_kills_of_the_server_and_the_run(server, person, tmp_path, monkeypatch):
    """The ledger of a person's run is the simulated run's, whatever is killed."""
    digits = load_digits()
    names, truth = ("zero", "one", "two & <a half>"), {}
    for split, kept in (("learn", slice(0, 60)), ("test", slice(60, 90))):
        rows = np.flatnonzero(digits.target < 3)[kept]
        for row in rows:
            label = names[digits.target[row]]
            file = tmp_path / (f"learn/{row:04d}.png" if split == "learn" else f"test/{label}/{row:04d}.png")
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((digits.images[row] * 15).astype(np.uint8)).save(file)
            truth[file.name] = label
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        rows = sorted((path.name, truth[path.name]) for path in (tmp_path / "learn").iterdir())
        csv.writer(file).writerows([("path", "label"), *rows])
    words = f"""fit --config digits --data ImageFolder --data.root {tmp_path}/learn --data.test_root {tmp_path}/test
        --data.unlabeled true --data.size 8 --data.channels 1 --data.num_workers 0 --data.in_memory true
        --loop.initial_size 8 --loop.query_size 6 --loop.query_budget 18 --trainer.max_epochs 3
        --trainer.accelerator cpu --seed 1""".split()
    words += ["--data.classes", json.dumps(names)]
    said = []

    def fit(name, *more, killed_after=None):
        """Exit code of the command; SIGKILL when so many tasks are on the server."""
        command = [sys.executable, "-m", "msal_lightning", *words, "--run_dir", str(tmp_path / name), *more]
        out = tmp_path / f"{name}.txt"
        with out.open("ab") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, cwd=tmp_path)
            while killed_after is not None and process.poll() is None:
                if len(tasks_of(person, oracle)) >= killed_after:
                    process.kill()
                time.sleep(0.02)
            code = process.wait()
        said.append(out.read_text())
        return code

    assert fit("simulated", "--data.csv", str(tmp_path / "labels.csv")) == 0, said[-1]

    oracle = LabelStudio("fit", url=server.url)
    with_people = ("--oracle", "LabelStudio", "--oracle.project", "fit", "--oracle.url", server.url)
    request = [8, 6, 6, 6]
    for number, count in enumerate(request):
        before = sum(request[:number])
        if number == 2:
            assert fit("people", *with_people, killed_after=before + 1) == -signal.SIGKILL  # the run, while it pushes
        assert fit("people", *with_people) == 0, said[-1]
        assert f"waiting for {count} labels in {server.url}" in said[-1]
        tasks = sorted(tasks_of(person, oracle), key=lambda task: task.id)
        assert len(tasks) == before + count
        for task in tasks[before : before + 2]:
            person.annotations.create(id=task.id, **choose(truth[task.data["path"]]))
        if number == 1:
            server.kill()
            assert fit("people", *with_people) == 0, said[-1]
            assert "which does not answer" in said[-1]
            server.start()
        for task in tasks[before + 2 :]:
            person.annotations.create(id=task.id, **choose(truth[task.data["path"]]))
    assert fit("people", *with_people) == 0, said[-1]
    assert len(tasks_of(person, oracle)) == sum(request)

    def ledger(name):
        return [
            {key: record[key] for key in ("num_labeled", "metrics", "bought", "initial")}
            for record in (json.loads(f.read_text()) for f in sorted((tmp_path / name / "rounds").glob("*.json")))
        ]

    assert len(ledger("people")) == 4
    assert ledger("people") == ledger("simulated")
    written = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert "label_studio.json" in {file.name for file in written}
    assert "oracle" in (tmp_path / "people" / "config.yaml").read_text()
    assert not [file for file in written if TOKEN.encode() in file.read_bytes()]
    assert TOKEN not in "".join(said)


def test_files_of_labels_go_through_import_and_export(server, person, tmp_path):
    """The server imports what ``labels --format label-studio`` writes; what it exports comes back."""
    import httpx

    names = ("cat", "<dog> & \"fox\"\n'日本'")
    paths = ("a/1 é.png", "2.png", "b/3.png")
    for path in paths:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        Image.new("RGB", (4, 4)).save(tmp_path / path)
    rows = [LabelRow(k, path, names[k % 2], round=k, rank=0, score=k / 2) for k, path in enumerate(paths)]
    label_studio.write(LabelSet(names, tuple(rows), tmp_path), tmp_path / "tasks.json")
    project = person.projects.create(title="import", label_config=labeling_config(names)).id
    with httpx.Client(base_url=server.url, headers={"Authorization": f"Token {TOKEN}"}, timeout=120) as http:
        file = {"file": ("tasks.json", (tmp_path / "tasks.json").read_bytes(), "application/json")}
        answer = http.post(f"/api/projects/{project}/import", files=file).raise_for_status().json()
        assert (answer["task_count"], answer["annotation_count"]) == (3, 3)
        exported = http.get(f"/api/projects/{project}/export", params={"exportType": "JSON"}).raise_for_status().json()
        (tmp_path / "exported.json").write_text(json.dumps(exported))
    truth = [(row.path, row.label) for row in rows]
    lines = read_label_file(tmp_path / "exported.json", "it", tmp_path)
    assert sorted((line.fields["path"], line.fields["label"]) for line in lines) == sorted(truth)
    assert sorted((task["data"]["path"], task["data"]["round"]) for task in exported) == sorted(
        (row.path, row.round) for row in rows
    )
