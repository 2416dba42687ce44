"""What a stranger's run directory may make ``query``, ``replay`` and ``figure`` do; its own run is the control."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from msal_lightning.cli.main import main
from msal_lightning.config.ownership import find_owned
from msal_lightning.runs.signature import FILE, key_file

TINY = [
    "--config", "digits", "--model.backbone.width", "4", "--trainer.max_epochs", "1", "--trainer.accelerator", "cpu",
    "--loop.initial_size", "20", "--loop.query_size", "10", "--loop.query_budget", "10",
]  # fmt: skip
REPO = str(Path(__file__).parents[2])


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "run"
    assert main(["fit", *TINY, "--run_dir", str(run)]) == 0
    return run


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current folder with a module of the user's in it that leaves a file when it is imported."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "canary.py").write_text(
        "from pathlib import Path\nPath(__file__).with_name('sang').touch()\n"
        "from msal_lightning.strategies import Entropy\nfrom msal_lightning.datasets import Digits\n"
        "class Mine(Entropy):\n    pass\n"
        "class MyDigits(Digits):\n    pass\n"
        "from lightning.pytorch import Callback\nclass Bell(Callback):\n    pass\n"
        "def call(*args, **kwargs):\n    Path(__file__).with_name('called').touch()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.fixture
def stranger(finished, here):
    """``stranger(change)``: a copy of the run whose configuration was changed."""

    def make(change):
        run = here / "strangers"
        shutil.copytree(finished, run)
        config = yaml.safe_load((run / "config.yaml").read_text())
        change(config)
        (run / "config.yaml").write_text(yaml.safe_dump(config))
        return run

    return make


def put(path, value):
    """A change of a nested configuration."""

    def change(config):
        *parents, last = path.split(".")
        for key in parents:
            config = config.setdefault(key, {})
        config[last] = value

    return change


def commands(run, here):
    (here / "photos").mkdir(exist_ok=True)
    return [
        ["replay", "--run", str(run), "--run_dir", str(here / "again")],
        ["query", "--checkpoint", str(run), "--images", str(here / "photos"), "--n", "1"],
        ["figure", "contact-sheet", str(run), "--out", str(here / "sheet.png")],
    ]


def spec(path, **options):
    return {"class_path": path, **({"init_args": options} if options else {})}


TIMEIT = spec("timeit.timeit", stmt="open('called', 'w')", number=1)
HOSTILE = {
    "optimizer that is called": put("model.optimizer", TIMEIT),
    "optimizer by its name": put("model.optimizer", "canary.call"),
    "backbone": put("model.backbone", spec("canary.call")),
    "schedule": put("model.lr_scheduler", spec("canary.call")),
    "query": put("query", spec("canary.Mine")),
    "query by its name": put("query", "canary.Mine"),
    "another file as query": put("query", "evil.yaml"),
    "another file as model": put("model", "evil.yaml"),
    "nested": put("query.init_args.uncertainty", spec("canary.Mine")),
    "nested by its name": put("query.init_args.uncertainty", "canary.Mine"),
    "data": put("data", spec("canary.MyDigits")),
    "augmentation": put("data.init_args.augmentation", "canary.Mine"),
    "callback": put("trainer.callbacks", [spec("canary.call")]),
    "callback's function": put(
        "trainer.callbacks", [spec("lightning.pytorch.callbacks.LambdaCallback", on_fit_start="canary.call")]
    ),
    "schedule's function": put(
        "model.lr_scheduler", spec("torch.optim.lr_scheduler.LambdaLR", lr_lambda="canary.call")
    ),
    "more options": put("model.optimizer.dict_kwargs", {"foreach": spec("canary.call")}),
    "re-export": put("model.optimizer", spec("torch.optim.sgd.torch.os.system", command="touch called")),
    "ours, but no model": put("model.optimizer", spec("msal_lightning.cli.main.console")),
    "strategy of a Trainer": put("trainer.strategy", "canary.call"),
    "plugin": put("trainer.plugins", [spec("canary.call")]),
    "profiler": put("trainer.profiler", spec("lightning.pytorch.profilers.SimpleProfiler", dirpath="elsewhere")),
    "dotted key": put("trainer", {"max_epochs": 1, "callbacks.class_path": "canary.call"}),
    "class path as a key": lambda config: config["model"].update({"optimizer.class_path": "canary.call"}),
    "appended": lambda config: config["trainer"].update({"callbacks+": spec("canary.call")}),
    "path of a parser": put("model.__path__", "evil.yaml"),
    "a place of a callback": put(
        "trainer.callbacks", [spec("lightning.pytorch.callbacks.ModelCheckpoint", dirpath="elsewhere")]
    ),
    "a place by an address": put(
        "trainer.callbacks", [spec("lightning.pytorch.callbacks.ModelCheckpoint", filename="s3://a/b")]
    ),
    "weights": put(
        "model.backbone",
        spec("msal_lightning.models.backbones.TorchvisionBackbone", architecture="resnet18", weights="/etc/passwd"),
    ),
}
UNUSED_BY = {"figure": ("data", "augmentation"), "query": ("query", "data", "nested", "augmentation", "another file")}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_strangers_configuration_runs_nothing(kind, stranger, here, capsys):
    run = stranger(HOSTILE[kind])
    (here / "evil.yaml").write_text(yaml.safe_dump({"optimizer": TIMEIT, **spec("canary.Mine")}))
    code = main(commands(run, here)[0])
    said = capsys.readouterr().err
    assert code == 2
    assert len(said.strip().splitlines()) == 1, said
    assert "was not made by your `fit`" in said
    for command in commands(run, here)[1:]:  # they may not need what is hostile
        assert main(command) in (0, 2)
    assert not (here / "sang").exists()
    assert not (here / "called").exists()
    assert "Traceback" not in capsys.readouterr().err


def test_a_class_that_is_trusted_is_used_and_only_that_one(stranger, here, capsys):
    run = stranger(put("query", spec("canary.Mine")))
    replay, query, _ = commands(run, here)
    assert main([*replay, "--trust", "canary.call"]) == 2
    assert "--trust canary.Mine" in capsys.readouterr().err
    assert not (here / "sang").exists()
    assert main([*replay, "--trust", "canary.Mine"]) == 0
    assert (here / "sang").exists()
    run = here / "mine"
    assert main([*query, "--trust", "canary.Mine"]) == 2
    assert "--images" in capsys.readouterr().err  # an empty folder


def test_what_the_user_names_on_the_command_line_needs_no_trust(stranger, here):
    run = stranger(put("seed", 0))
    assert main([*commands(run, here)[0], "--trainer.callbacks", "canary.Bell"]) == 0


def test_a_run_of_ones_own_is_signed_and_asks_for_nothing(here, capsys):
    run = here / "mine"
    assert main(["fit", *TINY, "--run_dir", str(run), "--query", "canary.Mine", "--data", "canary.MyDigits"]) == 0
    assert (run / FILE).exists()
    assert key_file().stat().st_mode & 0o777 == 0o600
    replay, query, figure = commands(run, here)
    assert main(replay) == 0
    assert main(figure) == 0
    assert main(query) == 2
    assert "--images" in capsys.readouterr().err
    with (run / "config.yaml").open("a") as file:
        file.write("# changed\n")
    assert main(replay) == 2
    assert "--trust canary.Mine" in capsys.readouterr().err


def test_an_unsigned_run_is_signed_when_it_goes_on_but_not_what_another_added(here):
    run = here / "mine"
    words = ["fit", *TINY, "--run_dir", str(run), "--query", "canary.Mine"]
    assert main(words) == 0
    (run / FILE).unlink()
    assert main(words) == 0
    assert (run / FILE).exists()
    (run / FILE).unlink()
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["logger"] = spec("canary.call")  # may differ between two commands
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    assert main(words) == 0
    assert not (run / FILE).exists()


def test_without_a_place_for_the_key_the_run_goes_on(here, monkeypatch, capsys):
    (here / "file").touch()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(here / "file"))
    assert main(["fit", *TINY, "--run_dir", str(here / "mine")]) == 0
    said = capsys.readouterr().out
    assert said.count("not signed") == 1
    assert not (here / "mine" / FILE).exists()


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 33])
def test_a_key_that_is_none_signs_nothing(here, monkeypatch, content, capsys):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(here))
    key_file().parent.mkdir()
    key_file().write_bytes(content)
    key_file().chmod(0o600)
    assert main(["fit", *TINY, "--run_dir", str(here / "mine")]) == 0
    assert "not signed" in capsys.readouterr().out
    key_file().write_bytes(b"x" * 32)
    key_file().chmod(0o644)  # others know it
    assert main(["fit", *TINY, "--run_dir", str(here / "mine")]) == 0
    assert not (here / "mine" / FILE).exists()


def test_replay_writes_where_the_user_says_and_nowhere_else(stranger, here, capsys):
    def change(config):
        config["loop"]["first_fit"] = str(here / "elsewhere" / "fit.ckpt")
        config["logger"] = spec("lightning.pytorch.loggers.CSVLogger", save_dir=str(here / "elsewhere"))
        config["run_dir"] = str(here / "elsewhere")
        config["overwrite"] = True

    run = stranger(change)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert main(commands(run, here)[0]) == 0
    assert "logger" in capsys.readouterr().out
    assert not (here / "elsewhere").exists()
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("key", ["optimizer", "backbone", "lr_scheduler"])
def test_a_callable_is_checked_before_it_is_called_in_ones_own_fit_too(here, key, capsys):
    (here / "mine.yaml").write_text(yaml.safe_dump({"model": {key: spec("canary.call")}}))
    assert main(["fit", *TINY, "--config", "mine.yaml", "--run_dir", str(here / "mine")]) == 2
    said = capsys.readouterr().err.strip()
    assert f"model.{key}" in said
    assert len(said.splitlines()) == 1
    assert not (here / "called").exists()


@pytest.mark.parametrize(
    "path",
    [
        "msal_lightning.strategies.MSALD", "msal_lightning.datasets.ImageFolder",
        "msal_lightning.models.backbones.SmallCNN", "msal_lightning.models.classifier._adam", "torch.optim.Adam",
        "torch.optim.lr_scheduler.StepLR",
        "lightning.pytorch.callbacks.EarlyStopping", "lightning.pytorch.loggers.CSVLogger",
    ],
)  # fmt: skip
def test_what_is_ours(path):
    assert find_owned(path) is not None


@pytest.mark.parametrize(
    "path",
    [
        "os.system", "timeit.timeit", "torch.optim.sgd.torch.os.system", "torch.optim.lr_scheduler.types.FunctionType",
        "lightning.pytorch.callbacks.model_checkpoint.shutil.rmtree", "msal_lightning.cli.main.console",
        "msal_lightning.runs.directory.RunDirectory", "msal_lightning.data.images.image_files.Path", "torch.optim",
        "torch.load",
        "torch.optim.Adam.__init__.__globals__", "msal_lightning.__main__.console", "msal_lightning.strategies.nothing",
        "msal_lightningx.Evil", "torch.optimx.Evil", "",
    ],
)  # fmt: skip
def test_what_is_not_ours(path):
    assert find_owned(path) is None


def run_in(folder, *words, script=False):
    """A process of its own, started in a folder; as the console script does, or with ``python -m``."""
    installed = "import os, sys; sys.path[0] = os.path.dirname(sys.executable)\n"  # where the script lies
    code = f"{installed}from msal_lightning.cli.main import console; console()"
    how = ["-c", code] if script else ["-m", "msal_lightning"]
    env = {**os.environ, "PYTHONPATH": REPO}
    return subprocess.run([sys.executable, *how, *words], cwd=folder, env=env, capture_output=True, text=True)


BOTH = [True, pytest.param(False, marks=pytest.mark.slow)]  # the console script, python -m


@pytest.mark.parametrize("script", BOTH)
def test_modules_in_a_run_directory_are_not_imported(stranger, here, script):
    run = stranger(put("query", spec("msal_lightning.strategies.Entropy")))
    for name in ("sklearn", "mine", "strategies", "scipy", "rich", "yaml", "difflib", "argparse"):
        (run / f"{name}.py").write_text(f"open({str(here / 'sang')!r}, 'w')\nraise SystemExit(9)\n")
    # from another folder, and from within it
    outside = run_in(here, "query", "--checkpoint", str(run), "--images", "photos", "--n", "1", script=script)
    within = run_in(run, "status", ".", script=script)
    assert not (here / "sang").exists(), outside.stderr + within.stderr
    assert outside.returncode == 2, outside.stderr
    assert within.returncode == 0, within.stderr


HOW = [None, *(pytest.param(script, marks=pytest.mark.slow) for script in (True, False))]  # a fork; as BOTH


@pytest.mark.parametrize("script", HOW)
def test_a_configuration_in_another_folder_does_not_bring_its_modules(here, commands, script):
    other = here / "other"
    other.mkdir()
    (other / "sklearn.py").write_text("open('sang', 'w')\nraise SystemExit(9)\n")  # a fork has the real one
    (other / "thing.py").write_text("raise SystemExit(9)\n")
    (other / "c.yaml").write_text(yaml.safe_dump({"query": spec("thing.Mine")}))
    (here / "thing.py").write_text("from canary import Mine\n")
    words = ["fit", *TINY, "--config", "other/c.yaml", "--print_config"]
    if script is None:
        done = commands.run("-m", "msal_lightning", *words, cwd=here)
    else:
        done = run_in(here, *words, script=script)
    assert done.returncode == 0, done.stderr
    assert "thing.Mine" in done.stdout or "canary.Mine" in done.stdout
