"""Every shipped configuration parses against the real signatures and runs."""

import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from msal_lightning.cli import main
from msal_lightning.configs import find_config, resolve_configs, shipped_folder
from msal_lightning.errors import UserError
from msal_lightning.fit import build_parser, parse
from msal_lightning.runs import read_records

SHIPPED = sorted(file.stem for file in shipped_folder().glob("*.yaml"))


@pytest.mark.parametrize("name", SHIPPED)
def test_parses_and_says_where_each_value_comes_from(name):
    config = parse(build_parser(), ["--config", name])
    assert config.trainer.max_epochs > 0
    text = (shipped_folder() / f"{name}.yaml").read_text()
    assert text.startswith("# ")
    values = [line for line in text.splitlines() if re.match(r"\s+\w+: \S", line) and "class_path:" not in line]
    for line in values:
        assert " # " in line or re.search(r"head: |uncertainty: ", line), f"no source or unit: {line}"


@pytest.mark.parametrize(
    ("name", "initial", "b", "budget", "epochs", "stem", "rho", "beta"),
    [
        ("mnist", 500, 250, 10_000, 20, "conv7", 0.1, 5),
        ("fashion_mnist", 500, 250, 10_000, 20, "conv7", 0.1, 5),
        ("cifar100", 1_000, 500, 40_000, 40, "conv3", 1.0, 10),
    ],
)
def test_protocol_of_table_1(name, initial, b, budget, epochs, stem, rho, beta):
    config = parse(build_parser(), ["--config", name])
    assert (config.loop.initial_size, config.loop.query_size, config.loop.query_budget) == (initial, b, budget)
    assert config.trainer.max_epochs == epochs
    assert config.model.backbone.init_args.stem == stem
    assert config.model.radius == rho
    assert config.query.init_args.beta == beta
    assert config.model.optimizer.class_path == "torch.optim.Adam"
    assert config.model.optimizer.init_args.lr == 1e-3
    assert config.data.init_args.batch_size == 128


def test_dropout_is_the_same_everywhere():
    assert {
        yaml.safe_load((shipped_folder() / f"{name}.yaml").read_text())["model"]["dropout"] for name in SHIPPED
    } == {0.2}


def write_cifar100(root, monkeypatch):
    import pickle

    import torchvision

    monkeypatch.setattr(torchvision.datasets.CIFAR100, "_check_integrity", lambda self: True)
    monkeypatch.setattr(torchvision.datasets.cifar, "check_integrity", lambda *_: True)
    folder = root / "cifar-100-python"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, n in (("train", 60), ("test", 20)):
        content = {
            "data": rng.integers(0, 256, (n, 3072), dtype=np.uint8),
            "fine_labels": (np.arange(n) % 100).tolist(),
        }
        (folder / name).write_bytes(pickle.dumps(content))
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": [f"class{c}" for c in range(100)]}))
    return root


@pytest.mark.parametrize("name", SHIPPED)
def test_runs_two_tiny_rounds(name, tmp_path, idx_root, monkeypatch):
    root = write_cifar100(tmp_path / "cifar", monkeypatch) if name == "cifar100" else idx_root(60, 20, size=28)
    sizes = ["--loop.initial_size", "20", "--loop.query_size", "13", "--loop.query_budget", "13"]
    quick = ["--trainer.max_epochs", "1", "--trainer.accelerator", "cpu", "--data.root", str(root)]
    assert main(["fit", "--config", name, *sizes, *quick, "--run_dir", str(tmp_path / "run")]) == 0
    first, last = read_records(tmp_path / "run")
    assert len(first.bought.index) == 13
    assert last.num_labeled == 33


def test_bare_names_are_found_nearest_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_config("digits") == shipped_folder() / "digits.yaml"
    assert find_config("digits.yaml") == shipped_folder() / "digits.yaml"
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "digits.yaml").write_text("seed: 1")
    assert find_config("digits") == Path("configs/digits.yaml")
    (tmp_path / "digits.yaml").write_text("seed: 2")
    assert find_config("digits") == Path("digits.yaml")
    assert resolve_configs(["-c", "digits", "--config=digits", "--seed", "3"]) == [
        "--config", "digits.yaml", "--config", "digits.yaml", "--seed", "3",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [1, 2\nb: 3", "as YAML at line 2"),
        ("a: 1\n\tb: 2", "as YAML at line 2"),
        ("just text", "to hold keys"),
        ("", "to hold keys"),
        (b"\xff\xfe\x00bad", "cannot read"),
    ],
)
def test_unreadable_configurations_are_named(tmp_path, content, message):
    file = tmp_path / "my.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=message):
        find_config(str(file))


def test_unknown_configurations_get_near_matches():
    with pytest.raises(UserError, match=r"found no 'fasion_mnist'.*did you mean fashion_mnist"):
        find_config("fasion_mnist")
