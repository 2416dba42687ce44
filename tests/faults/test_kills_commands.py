"""SIGKILL of the commands without a loop, and of a sweep: the same command afterwards gives the same files."""

import csv
import io
import json
import random
import shutil
import signal
import time
import zipfile

import pytest
from PIL import Image

from msal_lightning.io.lock import DirectoryLock
from msal_lightning.runs.records import read_records

pytestmark = pytest.mark.faults

TINY = [
    "--config", "digits", "--trainer.max_epochs", "1", "--trainer.accelerator", "cpu", "--loop.query_budget", "40",
    "--model.backbone.width", "4",
]  # fmt: skip
FOLDER = ["--data", "ImageFolder", "--data.size", "8", "--data.channels", "1", "--data.batch_size", "16"]
RANDOM = 12  # lines of each command; the others are at its writes


def contents(*folders):
    """Every file and what is in it, but for times."""
    found = {}
    for folder in folders:
        for file in sorted(folder.rglob("*")):
            name = f"{folder.name}/{file.relative_to(folder)}"
            if file.suffix == ".json" and file.parent.name == "rounds":
                record = json.loads(file.read_text())
                record.pop("digest", None), record.pop("seconds", None)
                found[name] = record
            elif file.name == "curve.csv":
                rows = csv.DictReader(file.read_text().splitlines())
                found[name] = [{k: v for k, v in row.items() if not k.startswith("seconds")} for row in rows]
            elif file.name == "lock":  # what a killed process says in it counts for nothing
                found[name] = DirectoryLock(file).holder()
            elif file.is_file() and file.suffix not in (".ckpt", ".log", ".html"):
                found[name] = file.read_bytes()
            else:  # a page names its folder
                found[name] = None
    return found


def tiny_imagenet(root):
    """A zip of two classes."""
    files = {f"train/n{c}/images/n{c}_{i}.JPEG": 200 * c for c in range(2) for i in range(3)}
    files |= {f"val/images/val_{c}.JPEG": 200 * c for c in range(2)}
    with zipfile.ZipFile(root / "tiny-imagenet-200.zip", "w") as archive:
        for name, value in files.items():
            image = io.BytesIO()
            Image.new("RGB", (64, 64), (value, 0, 255 - value)).save(image, "JPEG")
            archive.writestr(f"tiny-imagenet-200/{name}", image.getvalue())
        lines = "".join(f"val_{c}.JPEG\tn{c}\t0\t0\t63\t63\n" for c in range(2))
        archive.writestr("tiny-imagenet-200/val/val_annotations.txt", lines)


@pytest.fixture(scope="module")
def prepared(serve, digit_files, tmp_path_factory):
    """What the commands start from: a run, a run of image files, a run that waits for a person, and a zip."""
    folder = tmp_path_factory.mktemp("prepared")
    ours = [*FOLDER, "--data.root", str(digit_files / "train")]
    test = ["--data.test_root", str(digit_files / "test")]
    asks = [*ours, *test, "--data.unlabeled", "true", "--oracle", "Files", "--loop.initial_size", "10"]
    for name, more in (("run", []), ("files", [*ours, *test]), ("person", asks)):
        command = ["fit", *TINY, "--run_dir", name, *more]
        assert serve(command, folder) == 0, (folder / "log").read_text()
    with (folder / "person" / "queries" / "initial.csv").open(newline="") as text:
        header, *lines = csv.reader(text)
    with (folder / "filled.csv").open("w", newline="") as out:
        csv.writer(out).writerows([header, *([*line[:-1], str(k % 2)] for k, line in enumerate(lines))])
    tiny_imagenet(folder)
    (folder / "log").unlink()
    return folder


COMMANDS = {  # and the folders that they write into
    "report": (["report", "run", "--out", "out"], ["out", "run"]),
    "query": (["query", "--checkpoint", "files", "--images", "{photos}", "--n", "9", "--out", "out"], ["out", "files"]),
    "datasets prepare": (["datasets", "prepare", "TinyImageNet", "--data.root", "."], ["msal-cache-1"]),
    "label": (["label", "person", "filled.csv"], ["person"]),
    "replay": (["replay", "--run", "run", "--run_dir", "again", "--seed", "1"], ["again", "run"]),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_kills_of_a_command(name, serve, prepared, digit_files, faults_table, tmp_path):
    words, folders = COMMANDS[name]
    command = [word.format(photos=digit_files / "test") for word in words]

    def fresh():
        place = tmp_path / "place"
        shutil.rmtree(place, ignore_errors=True)
        return shutil.copytree(prepared, place)

    place = fresh()
    assert serve(command, place, {"now": True, "count": str(tmp_path / "count")}) == 0, (place / "log").read_text()
    whole = contents(*(place / folder for folder in folders))
    lines = json.loads((tmp_path / "count").read_text())
    draw, killed, wrong = random.Random(name), 0, []
    specs = [{"point": f"replace#{hit}", "now": True} for hit in range(1, 7)]
    for _ in range(RANDOM):
        phase = draw.choice(sorted(lines))
        specs.append({"now": True, "phase": phase, "event": draw.randint(1, lines[phase])})
    for spec in specs:
        place = fresh()
        code = serve(command, place, {**spec, "note": str(tmp_path / "note")})
        if code == 0:  # it writes fewer files
            continue
        assert code == -signal.SIGKILL, (place / "log").read_text()
        killed += 1
        code = serve(command, place)
        said = (place / "log").read_text().splitlines()
        done = code == 0 or (name == "query" and "exists already" in said[-1])  # killed behind its last file
        left = contents(*(place / folder for folder in folders))
        wrong += [] if done and left == whole else [(spec, code, said[-1:], sorted(left.keys() ^ whole.keys()))]
    faults_table("SIGKILL of other commands", {"command": name, "kills": killed, "same files": killed - len(wrong)})
    assert wrong == []
    assert killed >= 10


PROGRESS = (  # files of a sweep of two cells with two rounds, and how many there are when it is killed
    ("sweep.json", 1), ("*.log", 1), ("*/config.yaml", 1), ("*/rounds/[0-9]*.json", 1), ("*/rounds/[0-9]*.json", 2),
    ("*/rounds/[0-9]*.json", 3),
)  # fmt: skip


def test_kills_of_a_sweep(commands, faults_table, tmp_path):
    sweep = ["sweep", *TINY, "--query", "Random,Margin", "--model.head", "linear", "--jobs", "2", "--out", "out"]
    cells = ("digits-Random", "digits-Margin")

    def start(place):
        place.mkdir(exist_ok=True)
        return commands.start("-m", "msal_lightning", *sweep, cwd=place)

    def finish(place):
        process = start(place)
        said = process.communicate(timeout=400)
        assert process.returncode == 0, said

    def what_counts(place):
        left = contents(*(place / "out" / cell for cell in cells))
        return {name: content for name, content in left.items() if not name.endswith(("config.yaml", "signature"))}

    finish(tmp_path / "whole")
    whole, draw, killed, same = what_counts(tmp_path / "whole"), random.Random(0), 0, 0
    for k, (files, number) in enumerate(PROGRESS * 2):
        place = tmp_path / str(k)
        process = start(place)
        while process.poll() is None and len(list(place.glob(f"out/{files}"))) < number:
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 0.2))
        killed += process.poll() is None
        process.kill_group()
        finish(place)
        assert all(len(read_records(place / "out" / cell)) == 2 for cell in cells)
        same += what_counts(place) == whole
    row = {"command": "sweep --jobs 2", "kills": killed, "same files": killed - (2 * len(PROGRESS) - same)}
    faults_table("SIGKILL of other commands", row)
    assert same == 2 * len(PROGRESS)
    assert killed >= 10
