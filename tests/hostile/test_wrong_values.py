"""Wrong values of every key of a configuration: on the command line of ``fit``, one at a time."""

import pytest

TINY = [
    "--config", "digits", "--trainer.max_epochs", "1", "--trainer.accelerator", "cpu", "--loop.query_budget", "0",
    "--loop.initial_size", "10", "--model.backbone.width", "4", "--run_dir", "run",
]  # fmt: skip
FOLDER = ("--data", "ImageFolder", "--data.root", "photos")
ONE_CYCLE = "{class_path: torch.optim.lr_scheduler.OneCycleLR, init_args: {max_lr: 0.1, total_steps: -1}}"

_INT = ("x", "1.5", "[1]", "{a: 1}", "null", "true")
_FLOAT = ("x", "[1.0]", "{a: 1}", "null")
_BOOL = ("x", "2", "[true]", "null")
_WORD = ("nonsense", "3", "[a]", "null")

# key: values that are refused. The sentence names the key, or the last word of it.
VALUES = {
    "seed": _INT,
    "wandb_images": (*_INT, "-1"),
    "logger": ("foo", "3", "null", "[csv]", "{class_path: no.such.Logger}"),
    "loop": ("5", "nonsense", "[1]", "null", "{qurey_size: 3}"),
    "loop.initial_size": ("x", "1.5", "[1]", "0", "-1", "99999", "none"),
    "loop.query_size": (*_INT, "0", "-3"),
    "loop.query_budget": (*_INT, "-1", "99999"),
    "loop.held_out": (*_INT, "-1", "10", "99999"),
    "loop.pool_limit": ("x", "1.5", "[1]", "0", "-3"),
    "loop.pool_error": _BOOL,
    "loop.keep_embeddings": (*_INT, "-1"),
    "loop.checkpoint_seconds": (*_FLOAT, "-1", "nan"),
    "loop.keep_checkpoints": _WORD,
    "loop.on_nan": _WORD,
    "loop.compile": _BOOL,
    "loop.replay": ("none/at/all", "[1]"),
    "query": (
        "nonsense",
        "5",
        "[MSALD]",
        "null",
        "MSALDD",
        "torch.nn.Linear",
        "os.system",
        "no.such.Thing",
    ),
    "query.beta": ("x", "0", "-1", "nan", "[1]", "null"),
    "query.uncertainty": ("nonsense", "Random", "KCenter", "5", "torch.nn.ReLU"),
    "query.betaa": ("3",),
    "data": ("nonsense", "5", "[Digits]", "null", "digits", "torch.nn.Linear", "no.such.Data"),
    "data.batch_size": (*_INT, "0", "1", "-4"),
    "data.eval_batch_size": (*_INT, "0", "-4"),
    "data.imbalance": ("x", "0", "-1", "1.5", "[1]"),
    "data.augmentation": ("nonsense", "5", "torch.nn.Linear"),
    "data.rooot": ("x",),
    "oracle": ("nonsense", "5", "[Files]", "torch.nn.Linear", "no.such.Oracle", "Files"),
    "model": ("5", "nonsense", "null", "[1]", "{heed: linear}"),
    "model.backbone": ("nonsense", "5", "torch.nn.ReLU", "no.such.Net", "Adam"),
    "model.backbone.width": ("x", "0", "-1", "1.5", "null"),
    "model.backbone.wdth": ("3",),
    "model.head": _WORD,
    "model.radius": (*_FLOAT, "0", "-1", "nan", "inf"),
    "model.dropout": (*_FLOAT, "-0.1", "1", "1.5", "nan"),
    "model.optimizer": ("nonsense", "5", "torch.nn.Linear", "no.such.Optimizer"),
    "model.optimizer.lr": ("x", "-1", "[0.1]", "{a: 1}"),
    "model.optimizer.learning_rate": ("0.1",),
    "model.lr_scheduler": ("nonsense", "5", "torch.nn.Linear", "torch.optim.lr_scheduler.StepLR"),
    "trainer": ("5", "nonsense", "null", "[1]", "{max_epoch: 3}"),
    "trainer.accelerator": ("foo", "5", "[cpu]"),
    "trainer.devices": ("x", "0", "-3", "{a: 1}", "1.5"),
    "trainer.num_nodes": ("x", "1.5", "null", "0"),
    "trainer.max_epochs": ("x", "1.5", "[1]", "null"),
    "trainer.max_steps": ("x", "1.5", "[1]", "null", "-5"),
    "trainer.max_time": ("tomorrow", "[1]"),
    "trainer.gradient_clip_val": ("x", "[1]", "{a: 1}"),
    "trainer.gradient_clip_algorithm": ("nonsense",),
    "trainer.accumulate_grad_batches": ("x", "1.5", "null"),
    "trainer.limit_train_batches": ("x", "[1]", "-1", "1.5"),
    "trainer.precision": ("foo", "64-true", "16", "16-mixed"),
    "trainer.deterministic": ("x", "2", "[true]"),
    "trainer.callbacks": ("nonsense", "5", "torch.nn.Linear", "no.such.Callback"),
    "trainer.logger": ("true",),
    "trainer.default_root_dir": ("x",),
    "overwrite": ("maybe",),
    "config": ("none.yaml", "digts", ".", "nonsense"),
}
NAMED_OTHERWISE = {  # the words that the sentence has instead of the key
    ("loop", "{qurey_size: 3}"): "did you mean loop.query_size",
    ("model", "{heed: linear}"): "did you mean model.head",
    ("trainer", "{max_epoch: 3}"): "did you mean trainer.max_epochs",
    ("model.optimizer.lr", "-1"): "learning rate",
    ("query.betaa", "3"): "did you mean beta",
    ("data.rooot", "x"): "did you mean root",
    ("model.backbone.wdth", "3"): "did you mean width",
}
CASES = [(key, value) for key, values in VALUES.items() for value in values]
QUICK = CASES[::25]


def _case(key, value):
    marks = () if (key, value) in QUICK else pytest.mark.faults
    return pytest.param(key, value, id=f"{key}={value}", marks=marks)


@pytest.mark.parametrize(("key", "value"), [_case(*case) for case in CASES])
def test_a_wrong_value_is_one_sentence(key, value, refused):
    names = NAMED_OTHERWISE.get((key, value), key.rpartition(".")[2])
    refused(["fit", *TINY, f"--{key}={value}"], names)
