"""Wrong files: configurations, grids of sweeps, and folders where other ones are expected."""

import pytest

TINY = ["--trainer.max_epochs", "1", "--trainer.accelerator", "cpu", "--run_dir", "run"]

# content of a file behind `--config digits --config bad.yaml`: words that the sentence has
YAMLS = {
    "": "bad.yaml.* keys like seed",
    "- seed": "keys like seed",
    "seed": "keys like seed",
    "5": "keys like seed",
    "null": "keys like seed",
    "seed: [": "as YAML at line",
    "seed: 3\n  loop: 4": "as YAML at line 2",
    "seed: 3\nseed: 4": "'seed' occurs twice, in lines 1 and 2",
    "loop:\n  query_size: 3\n  query_budget: 5\n  query_size: 4": "'query_size' occurs twice, in lines 2 and 4",
    "{seed: 1, seed: 1}": "'seed' occurs twice, in line 1",
    "query: {class_path: MSALD, init_args: {beta: 3, beta: 4}}": "'beta' occurs twice",
    "a: &a [*a]": "anchor",
    "&a seed: *a": "seed",
    "x: &x {y: *x}": "anchor",
    "a: &a [0,0,0,0,0,0,0,0,0]\n"
    + "\n".join(
        f"{n}: &{n} [{', '.join(['*' + m] * 9)}]" for m, n in zip("abcdefgh", "bcdefghi", strict=True)
    ): "aliases",
    "[" * 200 + "]" * 200: "levels",
    "seed: !!python/object/apply:os.system ['true']": "as YAML",
    "seed: !mine 3": "as YAML",
    "seed: 2024-13-45": "as YAML",
    "seed: 0x": "seed to be an integer",
    "seed: abc": "seed to be an integer, got 'abc'",
    "seed: 1.5": "seed to be an integer",
    "seed: {a: 1}": "seed to be an integer",
    "seed: 2024-01-01": "seed to be an integer",
    "1: 2": "keys in 'bad.yaml' to be words, got 1",
    "true: 2": "keys in 'bad.yaml' to be words, got True",
    "null: 2": "keys in 'bad.yaml' to be words, got None",
    "loop: {1: 2}": "words, got 1 in loop",
    "lop: {query_size: 3}": "did you mean loop.query_size",
    "query_size: 3": "unknown key 'query_size'",
    "loop: {qurey_size: 3}": "did you mean loop.query_size",
    "loop.qurey_size: 3": "did you mean loop.query_size",
    "loop: 5": "loop in 'bad.yaml' to hold keys, got '5'",
    "loop:": "loop in 'bad.yaml' to hold keys, got nothing",
    "loop: [3]": "loop in 'bad.yaml' to hold keys",
    "model: null": "model in 'bad.yaml' to hold keys, got nothing",
    "model: linear": "model in 'bad.yaml' to hold keys, got 'linear'",
    "trainer: 5": "trainer in 'bad.yaml' to hold keys, got '5'",
    "trainer: {logger: true}": "unknown key 'trainer.logger'",
    "trainer: {max_epochs: many}": "trainer.max_epochs to be an integer, got 'many'",
    "trainer: {callbacks: 5}": "trainer.callbacks",
    "trainer: {callbacks: [5]}": "trainer.callbacks",
    "trainer: {callbacks: {class_path: EarlyStopping}}": "trainer.callbacks.monitor",
    "query: 5": "query to name a strategy.* got '5'",
    "query: [MSALD]": "query to name a strategy",
    "query: true": "query to name a strategy",
    "query: {class_path: 5}": "query.class_path in 'bad.yaml' to name a class, got '5'",
    "query: {class_path: }": "query.class_path in 'bad.yaml' to name a class, got nothing",
    "query: {class_path: [MSALD]}": "query.class_path in 'bad.yaml' to name a class",
    "query: {init_args: 5}": "query.init_args in 'bad.yaml' to map options to values, got '5'",
    "query: {class_path: Entropy, init_args: [1]}": "query.init_args in 'bad.yaml' to map options to values",
    "query: {class_path: Entropy, int_args: {}}": "query.int_args' in 'bad.yaml': did you mean init_args",
    "query: {class_path: MSALD, beta: 3}": "query.beta' in 'bad.yaml': options belong below query.init_args",
    "query: {class_path: Entropy, init_args: {beta: 3}}": "Entropy has no option 'beta'",
    "query: {class_path: MSALD, init_args: {uncertainty: 5}}": "query.uncertainty to name a strategy with a score",
    "query: {class_path: MSALD, init_args: {beta: null}}": "query.beta to have a value, got null",
    "query: {class_path: MSALD, init_args: {1: 2}}": "words, got 1 in query.init_args",
    "data: 5": "data to name a dataset",
    "data: {init_args: 5}": "data.init_args in 'bad.yaml' to map options",
    "data: {class_path: Digits, init_args: {batch_size: null}}": "data.batch_size to have a value, got null",
    "data: {class_path: Digits, init_args: {augmentation: 5}}": "data.augmentation",
    "data: {class_path: Digits, init_args: {size: 5}}": "Digits has no option 'size'",
    "oracle: {init_args: {a: 1}}": "Simulated has no option 'a'",
    "oracle: 5": "oracle",
    "model: {backbone: [SmallCNN]}": "model.backbone",
    "model: {backbone: {class_path: SmallCNN, init_args: {width: x}}}": "model.backbone.width to be an integer",
    "model: {backbone: {class_path: SmallCNN, init_args: {width: null}}}": "model.backbone.width to have a value",
    "model: {optimizer: {class_path: torch.optim.SGD, init_args: 5}}": "model.optimizer.init_args in 'bad.yaml' to map",
    "model: {optimizer: {class_path: torch.optim.SGD, init_args: {lr: x}}}": "model.optimizer.lr to be a number",
    "model: {optimizer: {class_path: torch.optim.SGD, init_args: {learn: 1}}}": "SGD has no option 'learn'",
    "run_dir: {a: 1}": "run_dir",
    "plan: maybe": "plan",
    "config: other.yaml": "other.yaml",
}
BYTES = {
    b"seed: \xff\xfe": "UTF-8",
    b"\x00\x01\x02seed": "bad.yaml",
    b"\x89PNG\r\n\x1a\n": "bad.yaml",
    "seed: 3".encode("utf-16"): "bad.yaml",
    b"seed: 3\n" * 200_000: "bytes",
}
QUICK = [*YAMLS][::14]


def _id(text):
    return " ".join(str(text).split())[:60]


@pytest.mark.parametrize(
    "text", [pytest.param(t, id=_id(t), marks=() if t in QUICK else pytest.mark.faults) for t in YAMLS]
)
def test_a_wrong_configuration_is_one_sentence(text, tmp_path, refused):
    (tmp_path / "bad.yaml").write_text(text)
    refused(["fit", "--config", "digits", "--config", "bad.yaml", *TINY], YAMLS[text])


@pytest.mark.faults
@pytest.mark.parametrize("content", BYTES, ids=_id)
def test_a_configuration_that_is_no_text(content, tmp_path, refused):
    (tmp_path / "bad.yaml").write_bytes(content)
    refused(["fit", "--config", "bad.yaml", *TINY], BYTES[content])


GRIDS = {
    "": "grid.yaml",
    "5": "options to lists of values",
    "- seed": "options to lists of values",
    "seed: [": "grid.yaml",
    "seed: []": "--seed to have a value",
    "seed: [1, 1]": "'1' twice",
    "seed: [x]\nconfig: digits": "--seed",
    "seed: [1]\nseed: [2]": "'seed' occurs twice, in lines 1 and 2",
    "run_dir: [a]": "--run_dir has no place",
    "overwrite: true": "--overwrite has no place",
    "a: &a [*a]": "anchor",
    "config: digits\nqurey: [MSALD]": "unknown option '--qurey': did you mean --query",
    "config: digits\nquery: [MSALDD]": "did you mean MSALD",
    "config: [digts]": "did you mean digits",
    "config: digits\nloop.query_size: [x]": "loop.query_size to be an integer",
    "config: digits\nseed: {a: 1}": "seed",
    "1: [2]": "1",
}


@pytest.mark.parametrize("text", GRIDS, ids=_id)
def test_a_wrong_grid_is_one_sentence(text, tmp_path, refused):
    (tmp_path / "grid.yaml").write_text(text)
    refused(["sweep", "--grid", "grid.yaml", "--list"], GRIDS[text])


@pytest.mark.parametrize(("there", "found"), [(False, "found none"), (True, "found files with another checksum")])
def test_cifar_that_is_not_there(there, found, tmp_path, refused, monkeypatch):
    def unreachable(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    if there:
        (tmp_path / "data" / "cifar-100-python").mkdir(parents=True)
        (tmp_path / "data" / "cifar-100-python" / "train").write_text("x")
    refused(["fit", "--config", "cifar100", "--trainer.accelerator", "cpu", "--run_dir", "run"], found, "data.root")
