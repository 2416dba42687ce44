"""Fixtures that several test files share."""

import contextlib
import functools
import gc
import gzip
import importlib.util
import os
import shutil
import socket
import struct
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

os.environ["OMP_NUM_THREADS"] = "1"  # of the commands that tests start


def pytest_configure(config):
    """Prepare torch and Lightning where tests run: the process that only deals them out does without their imports."""
    if config.getoption("numprocesses", None):
        return
    import torch
    from lightning.fabric.utilities import registry

    from msal_lightning.datasets import digits

    digits.load_digits = functools.cache(digits.load_digits)  # it reads a text file, and each set copies its images
    registry.entry_points = functools.cache(registry.entry_points)  # each Trainer would look at all installed packages
    os.fsync = lambda descriptor: None  # tests kill processes, but cut no power: nobody has to wait for the disk
    torch.set_num_threads(1)  # tiny models gain nothing from a second thread, and lose much on a busy machine


def pytest_xdist_auto_num_workers(config):
    """One worker more than cores: a quarter of the time a worker waits for commands, signals and browsers."""
    return (os.cpu_count() or 1) + 1


# The longest files: a worker that begins one of them last keeps the others waiting.
LONGEST = (
    "training/test_distributed.py", "oracles/test_person_edges.py", "oracles/test_person_run.py",
    "query/test_conformance.py", "cli/test_main.py", "sweep/test_sweep.py", "loop/test_loop.py",
    "faults/test_faults.py", "loop/test_interrupted_loop.py", "oracles/test_held_out.py", "config/test_files.py",
    "config/test_trust.py", "oracles/csv_files/test_oracle.py", "test_notebooks.py", "datasets/test_image_folder.py",
    "faults/test_kills.py", "training/test_signals.py",
)  # fmt: skip


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """The longest files come first; xdist gives the files to its workers in this order."""
    here = Path(__file__).parent
    place = {here / name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path, len(place)))


def pytest_collection_finish():
    """What has been imported by now stays: a garbage collection need not walk over it in each test."""
    import hypothesis  # noqa: F401 - when it is imported it looks for referrers, and finds none that are frozen

    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def own_modules(tmp_path_factory):
    """A module that a test wrote is forgotten at its end, for the next test writes another one of the same name."""
    before = set(sys.modules)
    yield
    written = str(tmp_path_factory.getbasetemp())
    for name in set(sys.modules) - before:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(written):
            del sys.modules[name]


IDX_NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")


@pytest.fixture(scope="module")
def downloads(tmp_path_factory):
    """Where the browser puts what it downloads."""
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def browser(downloads):
    """A headless Chromium that keeps what pages log and what they ask the network for."""
    if not (CHROMIUM and DRIVER):
        pytest.skip("no Chromium with its chromedriver on this machine")
    webdriver = pytest.importorskip("selenium.webdriver")
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(autouse=True, scope="session")
def key_of_the_tests(tmp_path_factory):
    """Runs are signed with a key that is made for the tests, not with the developer's."""
    before = os.environ.get("XDG_CONFIG_HOME")
    os.environ["XDG_CONFIG_HOME"] = str(tmp_path_factory.mktemp("config"))
    yield
    os.environ.pop("XDG_CONFIG_HOME")
    if before is not None:
        os.environ["XDG_CONFIG_HOME"] = before


@pytest.fixture(autouse=True)
def wandb_disabled(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")


@pytest.fixture(scope="session")
def commands():
    """``commands.run("-m", "msal_lightning", "fit", cwd=folder)``: a command without the seconds of its imports."""
    spec = importlib.util.spec_from_file_location("forked", Path(__file__).with_name("forked.py"))
    forked = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(forked)
    commands = forked.Commands()
    yield commands
    commands.close()


@pytest.fixture
def fresh_digits():
    """The digits with all images in the pool."""
    from msal_lightning.datasets import Digits

    data = Digits()
    data.setup()
    data.reset(0)
    return data


@pytest.fixture
def no_network(monkeypatch):
    """Every connection fails at once, as on a machine without a network."""

    def refuse(*args, **kwargs):
        raise OSError("Network is unreachable")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)


@pytest.fixture
def host_graphs():
    """Stands for CudaGraphs on a CPU: where a GPU replays the kernels of a step, the step is taken again."""
    made = []

    class HostGraphs:
        def __init__(self, device):
            self.captures = 0
            made.append(self)
            self.released = False

        def aside(self):
            return contextlib.nullcontext()

        def capture(self, step):
            self.captures += 1
            return step

        def pace(self):
            self.released = False

        def waiting(self, allowed):
            return contextlib.nullcontext()

        def release(self):
            self.released = True

    HostGraphs.made = made
    return HostGraphs


@pytest.fixture
def make_trainer():
    """``make_trainer(max_epochs=2)``: a Trainer on the CPU that writes nothing."""
    from lightning.pytorch import Trainer

    return functools.partial(
        Trainer,
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


@pytest.fixture
def recorder():
    """``recorder()``: a model whose ``seen`` holds the batches of fit, test and predict."""
    import torch
    from lightning.pytorch import LightningModule

    class Recorder(LightningModule):
        """Learns nothing and keeps the batches of each phase, as the model gets them."""

        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(()))
            self.seen = {"fit": [], "test": [], "predict": []}

        def training_step(self, batch, batch_idx):
            self.seen["fit"].append(batch)
            return self.weight * 1.0

        def validation_step(self, batch, batch_idx):
            raise AssertionError("nothing is left out to validate on")

        def test_step(self, batch, batch_idx):
            self.seen["test"].append(batch)

        def predict_step(self, batch, batch_idx):
            self.seen["predict"].append(batch)
            return batch.index

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    return Recorder


@pytest.fixture
def write_idx():
    """``write_idx(folder, *arrays, packed=True)``: the four files of MNIST's format; returns their paths.

    The arrays are uint8: train images (N, H, W), train labels (N,), test images, test labels.
    """

    def write(folder, *arrays, packed=True):
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for name, array in zip(IDX_NAMES, arrays, strict=True):
            data = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()
            path = folder / (f"{name}.gz" if packed else name)
            path.write_bytes(gzip.compress(data) if packed else data)
            paths.append(path)
        return paths

    return write


@pytest.fixture
def idx_root(tmp_path, write_idx):
    """``idx_root(n_train, n_test)``: a new folder with the files of a small dataset that a model can learn.

    Class c is noise with a bright block at place c of a 4×4 grid.
    """

    def make(n_train=200, n_test=100, *, size=16, num_classes=10, packed=True, folder="", seed=0) -> Path:
        rng = np.random.default_rng(seed)
        root = tmp_path / f"idx{len(list(tmp_path.glob('idx*')))}"
        arrays = []
        for n in (n_train, n_test):
            label = (np.arange(n) % num_classes).astype(np.uint8)
            rng.shuffle(label)
            image = rng.integers(0, 100, (n, size, size), dtype=np.uint8)
            block = size // 4
            for one, c in zip(image, label, strict=True):
                top, left = c // 4 * block, c % 4 * block
                one[top : top + block, left : left + block] += 150
            arrays += [image, label]
        write_idx(root / folder, *arrays, packed=packed)
        return root

    return make


_tables = defaultdict(list)


@pytest.fixture(scope="session")
def faults_table():
    """``faults_table(section, {column: value})`` adds a row to the page that FAULTS_TABLE names."""
    return lambda section, row: _tables[section].append(row)


def pytest_sessionfinish(session):
    if (target := os.environ.get("FAULTS_TABLE")) and _tables:
        _write_tables(Path(target))


def _write_tables(page):
    """The tables of this session in place of those on the page; the others stay."""
    head = "# What the fault suite tried\n\n"
    head += f'`FAULTS_TABLE={page} python -m pytest tests/faults tests/hostile -m ""` wrote this page.\n'
    before = page.read_text(encoding="utf-8").split("\n## ") if page.exists() else [head]
    sections = {part.partition("\n")[0]: part.partition("\n")[2].strip("\n") for part in before[1:]}
    for section, rows in _tables.items():
        columns = list(dict.fromkeys(column for row in rows for column in row))
        lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
        lines += ["| " + " | ".join(str(row.get(column, "")) for column in columns) + " |" for row in rows]
        sections[section] = "\n".join(lines)
    parts = [before[0].strip("\n"), *(f"## {section}\n\n{text}" for section, text in sections.items())]
    page.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
