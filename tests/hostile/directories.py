"""Sixty run directories as a stranger might send them: ``HOSTILE[name](run, here)`` changes a good copy."""

import hashlib
import io
import json
import os
import zipfile

import numpy as np
import yaml

EVIL = "a\x1b]0;title\x07b\x1b[2Jc\rd\x9be\u202ef"


def config(change):
    def do(run, here):
        values = yaml.safe_load((run / "config.yaml").read_text())
        change(values, here)
        (run / "config.yaml").write_text(yaml.safe_dump(values))

    return do


def put(path, value):
    def change(values, here):
        *parents, last = path.split(".")
        for key in parents:
            values = values.setdefault(key, {})
        values[last] = value(here) if callable(value) else value

    return config(change)


def text(name, content):
    def do(run, here):
        file = run / name
        file.parent.mkdir(exist_ok=True)
        if file.exists():
            file.unlink()
        file.write_bytes(content if isinstance(content, bytes) else content.encode())

    return do


def link(name, target):
    def do(run, here):
        file = run / name
        if file.is_dir():
            file.rename(run / "aside")
        elif file.exists():
            file.unlink()
        file.symlink_to(target(here))

    return do


def both(*changes):
    def do(run, here):
        for change in changes:
            change(run, here)

    return do


def record(**changes):
    """Round 1 with other values, sealed again as a stranger can."""

    def do(run, here):
        file = run / "rounds" / "001.json"
        body = json.loads(file.read_text())
        for key, value in changes.items():
            if value is ...:
                del body[key]
            else:
                body[key] = {**body[key], **value} if isinstance(value, dict) and isinstance(body[key], dict) else value
        body.pop("digest")
        version = body.pop("format")
        digest = hashlib.blake2s(json.dumps(body, sort_keys=True).encode(), digest_size=8).hexdigest()
        file.write_text(json.dumps({"format": version, "digest": digest, **body}))

    return do


def request(**changes):
    """A question that nobody answered yet, behind the last round."""

    def do(run, here):
        item = {"index": 3, "path": "3", "suggested": None, "score": None, "confidence": None, "rank": 0}
        batch = {"name": "round-002", "class_names": ["a", "b"], "items": [item], "answers": None}
        body = {"name": "round-002", "record": None, "exchanges": [{**batch, **changes.pop("exchange", {})}]}
        (run / "rounds" / "002.asked.json").write_text(json.dumps({**body, "num_images": 9, **changes}))
        (run / "queries").mkdir(exist_ok=True)
        (run / "queries" / "round-002.csv").write_text("path,label\n3,\n")

    return do


def bomb(levels=9):
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines)


def packed(size):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("index.npy", b"\0" * size)
    return out.getvalue()


def pickled():
    out = io.BytesIO()
    np.savez(out, index=np.array([Canary()], dtype=object))
    return out.getvalue()


class Canary:
    """Unpickled, it would leave a file."""

    def __reduce__(self):
        return os.system, ("touch sang",)


def spec(path, **options):
    return {"class_path": path, "init_args": options}


CALL = spec("canary.call", x=1)
STMT = spec("timeit.timeit", stmt="open('sang', 'w')", number=1)
CHECKPOINT = "lightning.pytorch.callbacks.ModelCheckpoint"

HOSTILE = {
    # classes that run something
    "optimizer that runs code": put("model.optimizer", STMT),
    "optimizer of a module": put("model.optimizer", CALL),
    "optimizer by name": put("model.optimizer", "canary.call"),
    "optimizer behind a re-export": put(
        "model.optimizer", spec("torch.optim.sgd.torch.os.system", command="touch sang")
    ),
    "optimizer that is a command of ours": put("model.optimizer", spec("msal_lightning.cli.main.console")),
    "backbone": put("model.backbone", CALL),
    "schedule": put("model.lr_scheduler", CALL),
    "function of a schedule": put(
        "model.lr_scheduler", spec("torch.optim.lr_scheduler.LambdaLR", lr_lambda="os.system")
    ),
    "query": put("query", spec("canary.Mine")),
    "query by name": put("query", "canary.Mine"),
    "query in a file": put("query", "evil.yaml"),
    "nested strategy": put("query.init_args.uncertainty", spec("canary.Mine")),
    "data": put("data", spec("canary.MyDigits")),
    "augmentation": put("data.init_args.augmentation", "canary.call"),
    "callback": put("trainer.callbacks", [CALL]),
    "function of a callback": put(
        "trainer.callbacks", [spec("lightning.pytorch.callbacks.LambdaCallback", on_fit_start="canary.call")]
    ),
    "strategy of a Trainer": put("trainer.strategy", "canary.call"),
    "plugins": put("trainer.plugins", [CALL]),
    "profiler": put("trainer.profiler", CALL),
    "logger": put("logger", CALL),
    "oracle": put("oracle", CALL),
    "options of options": put("model.optimizer.dict_kwargs", {"x": CALL}),
    "model in a file": put("model", "evil.yaml"),
    "loop in a file": put("loop", "evil.yaml"),
    "class path in a key": put("trainer", {"max_epochs": 1, "callbacks.class_path": "canary.call"}),
    "appended callback": put("trainer.callbacks+", CALL),
    "another configuration": put("config", "evil.yaml"),
    "path of a parser": put("model.__path__", "evil.yaml"),
    # places elsewhere
    "place of a callback": put("trainer.callbacks", [spec(CHECKPOINT, dirpath="elsewhere")]),
    "absolute place of a callback": put(
        "trainer.callbacks", lambda here: [spec(CHECKPOINT, dirpath=str(here / "else"))]
    ),
    "place of a logger": put("logger", spec("lightning.pytorch.loggers.CSVLogger", save_dir="elsewhere")),
    "shared model elsewhere": put("loop.first_fit", lambda here: str(here / "else" / "fit.ckpt")),
    "run_dir elsewhere and overwrite": config(lambda v, here: v.update(run_dir=str(here / "photos"), overwrite=True)),
    "weights elsewhere": put(
        "model.backbone",
        spec("msal_lightning.models.backbones.TorchvisionBackbone", architecture="resnet18", weights="/etc/passwd"),
    ),
    "download": put("data", lambda here: spec("msal_lightning.datasets.MNIST", root=str(here / "else"))),
    "data of a device": put("data", spec("msal_lightning.datasets.ImageFolder", root="/dev", csv="/dev/zero")),
    "queries in another folder": both(request(), link("queries", lambda here: here / "photos")),
    "question that leads out": request(exchange={"name": "../../photos/precious"}),
    "round that leads out": request(name="round-../../x"),
    "records in another folder": link("rounds", lambda here: here / "photos"),
    "configuration is a link": link("config.yaml", lambda here: "/etc/passwd"),
    "lock is a link": link("lock", lambda here: here / "photos" / "precious.txt"),
    # files that are more than they look
    "anchor bomb": text("config.yaml", bomb()),
    "anchor that holds itself": text("config.yaml", "data: &a [*a]\n"),
    "deep brackets": text("config.yaml", "data: " + "[" * 5000),
    "python tag": text("config.yaml", "data: !!python/object/apply:os.system ['touch sang']\n"),
    "large configuration": text("config.yaml", "# " + "x" * 2**21),
    "binary configuration": text("config.yaml", bytes(range(256))),
    "no mapping": text("config.yaml", "- 1\n"),
    "deep record": text("rounds/001.json", "[" * 100_000),
    "record of binary": text("rounds/001.json", bytes(range(256))),
    "packed bomb as model": lambda run, here: text("checkpoints/round-001.ckpt", packed(2**28))(run, here),
    "pickle as model": text("checkpoints/round-001.ckpt", pickled()),
    # values that are none
    "record without accuracy": record(metrics=...),
    "accuracy that is text": record(metrics={"accuracy": EVIL}),
    "seconds that are a list": record(seconds=[1]),
    "labels that are text": record(bought={"index": ["a"], "label": ["b"], "score": None, "path": None}),
    "columns of two lengths": record(bought={"index": [1, 2], "label": [1], "score": None, "path": None}),
    "index beyond the data": record(bought={"index": [10**12], "label": [99], "score": None, "path": None}),
    "escapes in names": record(class_names=[EVIL] * 10),
    "formulas in paths": record(bought={"index": [1], "label": [1], "score": None, "path": ["=cmd|' /C calc'!A0"]}),
    "seed that is text": put("seed", EVIL),
    "name that is text": put("data.class_path", EVIL),
}  # fmt: skip
