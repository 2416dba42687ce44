"""A configuration may have the names that classes had before their modules moved; nothing tells the two apart."""

import importlib
import shutil
from pathlib import Path

import pytest
import torch
import yaml

from msal_lightning.config.parser import build_parser, parse, resolve
from msal_lightning.config.trust import read_config
from msal_lightning.runs.directory import RunDirectory
from msal_lightning.runs.moved_names import former, present
from msal_lightning.runs.reading import read_run
from msal_lightning.training.checkpoint import read_fit

FORMER = [  # as commands and scripts of commit 9a62bda wrote them
    "msal_lightning.data.CIFAR10", "msal_lightning.data.CIFAR100", "msal_lightning.data.Digits",
    "msal_lightning.data.FashionMNIST", "msal_lightning.data.ImageFolder", "msal_lightning.data.MNIST",
    "msal_lightning.data.SVHN", "msal_lightning.data.TinyImageNet", "msal_lightning.data.cifar.CIFAR10",
    "msal_lightning.data.digits.Digits", "msal_lightning.data.image_folder.ImageFolder",
    "msal_lightning.data.mnist.FashionMNIST", "msal_lightning.data.svhn.SVHN",
    "msal_lightning.data.tiny_imagenet.TinyImageNet", "msal_lightning.data.augment.CropFlip",
    "msal_lightning.backbones.ResNet18", "msal_lightning.backbones.SmallCNN",
    "msal_lightning.backbones.TorchvisionBackbone", "msal_lightning.module.MSALClassifier",
    "msal_lightning.oracles.files.Files", "msal_lightning.oracles.label_studio.LabelStudio",
]  # fmt: skip
SAME = [
    "msal_lightning.strategies.MSALD", "msal_lightning.strategies.msald.MSALD", "msal_lightning.oracles.Simulated",
    "msal_lightning.oracles.simulated.Simulated", "msal_lightning.data.CropFlip", "torch.optim.Adam", "mine.Digits",
    "msal_lightning.data", "", "data",
]  # fmt: skip


def config_with(data, backbone, **more):
    return {
        "seed": 0,
        "loop": {"initial_size": 40, "query_size": 40, "query_budget": 80, "pool_error": False},
        "query": {"class_path": "msal_lightning.strategies.Margin"},
        "data": {"class_path": data, "init_args": {"batch_size": 32}},
        "model": {"head": "linear", "backbone": {"class_path": backbone, "init_args": {"width": 4}}},
        **more,
    }


BEFORE = config_with("msal_lightning.data.Digits", "msal_lightning.backbones.SmallCNN")
NOW = config_with("msal_lightning.datasets.Digits", "msal_lightning.models.backbones.SmallCNN")
SHORT = config_with("msal_lightning.datasets.Digits", "msal_lightning.SmallCNN")


@pytest.mark.parametrize("name", FORMER)
def test_a_former_name_is_a_class_and_comes_back(name):
    module, _, cls = present(name).rpartition(".")
    assert isinstance(getattr(importlib.import_module(module), cls), type)
    assert present(name) != name
    assert former(present(name)) == name
    assert present(present(name)) == present(name)


@pytest.mark.parametrize("name", SAME)
def test_all_else_stays(name):
    assert present(name) == former(name) == name


def test_a_run_goes_on_whatever_names_its_configuration_has(tmp_path):
    made = RunDirectory(tmp_path, BEFORE)
    made.open()
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(BEFORE))  # as it was written before
    (tmp_path / "rounds").mkdir(exist_ok=True)
    made.close()
    digests = set()
    for config in (BEFORE, NOW, SHORT):
        run = RunDirectory(tmp_path, config)
        assert run.changed_keys() == {}
        digests.add(run.config_digest)
    assert digests == {"2f191a8611a294e6"}  # of commit 9a62bda: its fits that were interrupted go on
    assert RunDirectory(tmp_path, NOW | {"seed": 1}).changed_keys() == {"seed": (0, 1)}


def test_runs_of_both_names_are_averaged(tmp_path):
    for name, config in {"before": BEFORE, "now": NOW | {"seed": 1}, "short": SHORT | {"seed": 2}}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text(yaml.safe_dump(config))
    assert len({read_run(tmp_path / name).setting for name in ("before", "now", "short")}) == 1


def test_a_strangers_configuration_is_judged_by_the_names_of_today(tmp_path):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(BEFORE))
    found = read_config(tmp_path, ["data", "model"])
    assert not found.own
    assert found.values["data"]["class_path"] == "msal_lightning.datasets.Digits"
    assert found.values["model"]["backbone"]["class_path"] == "msal_lightning.models.backbones.SmallCNN"


@pytest.mark.parametrize("data", ["msal_lightning.data.Digits", "msal_lightning.data.digits.Digits"])
def test_a_file_and_a_command_line_may_have_former_names(data, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump({"data": BEFORE["data"], "model": BEFORE["model"]}))
    words = ["--config", "digits", "--config", str(file), f"--data={data}"]
    words += ["--oracle", "msal_lightning.oracles.files.Files", "--model.backbone", "msal_lightning.backbones.ResNet18"]
    parser = build_parser()
    found = resolve(parser, parse(parser, words))
    assert found["data"]["class_path"] == present(data)
    assert found["model"]["backbone"]["class_path"] == "msal_lightning.models.backbones.ResNet18"
    assert found["oracle"]["class_path"].endswith(".Files")


def test_an_interrupted_fit_of_an_older_version_goes_on(tmp_path):
    """Commit fac469c knew its fits by a digest of the whole configuration, defaults and all."""
    shutil.copy(Path(__file__).parents[1] / "io" / "run_of_fac469c" / "config.yaml", tmp_path)
    run = RunDirectory(tmp_path, yaml.safe_load((tmp_path / "config.yaml").read_text()))
    assert run.former_config_digest == "fa640058beb8d5bc"  # as that commit computes it
    entry = {"round": 1, "split": "s", "config": run.former_config_digest, "processes": 1}
    entry |= {"attempt": 0, "seconds": 2.0, "rows": []}
    torch.save({"epoch": 4, "msal_lightning": entry}, tmp_path / "fit.ckpt")
    origin = {"round": 1, "split": "s", "config": run.config_digest, "processes": 1}
    former = {"config": lambda: run.former_config_digest}
    assert read_fit(tmp_path / "fit.ckpt", origin, former).epochs == 5
    assert "its config differ" in read_fit(tmp_path / "fit.ckpt", origin, {"config": lambda: "another"})
    assert "its split differ" in read_fit(tmp_path / "fit.ckpt", origin | {"split": "t"}, former)
