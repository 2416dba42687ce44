"""SIGKILL at six instants, whatever option of the Trainer or callback a run has."""

import importlib.util
import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.faults

COMMAND = [
    "fit", "--config", "digits", "--run_dir", "run", "--loop.query_budget", "40", "--loop.checkpoint_seconds", "0",
    "--trainer.max_epochs", "3", "--trainer.accelerator", "cpu", "--model.backbone.width", "4",
    "--data.batch_size", "16", "--query", "Entropy",
]  # fmt: skip
_file = Path(__file__).parents[1] / "training" / "trainer_options.py"
_spec = importlib.util.spec_from_file_location("trainer_options", _file)
trainer_options = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(trainer_options)


def words(trainer=(), callbacks=(), lr_scheduler=None):
    """An option on the command line; callbacks of one's own lie in ``own.py``."""
    pairs = [(f"trainer.{key}", str(value)) for key, value in dict(trainer).items()]
    if callbacks:
        pairs.append(("trainer.callbacks", json.dumps([spec(*one) for one in callbacks.items()])))
    if lr_scheduler:
        name, options = lr_scheduler
        pairs.append(("model.lr_scheduler", f"torch.optim.lr_scheduler.{name}"))
        pairs += [(f"model.lr_scheduler.{key}", str(value)) for key, value in options.items()]
    return [word for key, value in pairs for word in (f"--{key}", value)]


def spec(name, options):
    module = "own" if hasattr(trainer_options, name) else "lightning.pytorch.callbacks"
    return {"class_path": f"{module}.{name}", "init_args": options}


INSTANTS = {
    "mid-epoch": {"phase": "mid-epoch", "event": 100},
    "epoch end": {"point": "epoch end#2"},
    "fit end": {"point": "fit ended"},
    "after it": {"point": "after fit"},
    "test": {"phase": "test", "event": 30},
    "pool pass": {"phase": "pool pass", "event": 60},
}


@pytest.mark.parametrize("option", trainer_options.OPTIONS)
def test_kills(option, serve, differences, faults_table, tmp_path):
    command, kills, changed = [*COMMAND, *words(**trainer_options.OPTIONS[option])], 0, {}
    for name in ("whole", *INSTANTS):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "own.py").write_text(_file.read_text())
        if name != "whole":
            code = serve(command, folder, {**INSTANTS[name], "note": str(folder / "note")})
            assert code in (-9, 0), (folder / "log").read_text()
            kills += code == -9
        assert serve(command, folder) == 0, (folder / "log").read_text()
        different = differences(folder / "run", tmp_path / "whole" / "run") if name != "whole" else []
        if different:
            changed[name] = different
    said = "; ".join(f"{name}: {', '.join(what)}" for name, what in changed.items())
    faults_table("SIGKILL, options of the Trainer", {"option": option, "kills": kills, "changed": said or "nothing"})
    assert kills >= 4
    assert not changed
