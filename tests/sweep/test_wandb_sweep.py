"""The sweep file for Weights & Biases' own agent, by the commands that the agent makes of it."""

import itertools
import os
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from msal_lightning.config.files import shipped_folder
from msal_lightning.config.parser import build_parser, parse
from msal_lightning.runs.records import read_records

SWEEP = shipped_folder() / "wandb" / "sweep.yaml"


def arguments(**values):
    """What the agent puts in place of ``${args}``."""
    from wandb.sdk.launch.sweeps.utils import create_sweep_command_args  # seconds, not at each start of the tests

    return create_sweep_command_args({"args": {key: {"value": value} for key, value in values.items()}})["args"]


def trials():
    parameters = yaml.safe_load(SWEEP.read_text())["parameters"]
    choices = [p["values"] if "values" in p else [p["value"]] for p in parameters.values()]
    return [dict(zip(parameters, values, strict=True)) for values in itertools.product(*choices)]


def command_of(trial):
    """As ``wandb_agent.Agent._command_run`` puts it together."""
    from wandb.sdk.launch.sweeps.utils import create_sweep_command

    command = create_sweep_command(yaml.safe_load(SWEEP.read_text())["command"])
    return [word for chunk in command for word in (arguments(**trial) if chunk == "${args}" else [chunk])]


@pytest.mark.parametrize("trial", trials(), ids=str)
@pytest.mark.parametrize("order", [1, -1], ids=["as written", "reversed"])
def test_every_trial_parses(trial, order):
    *_, script, _, first, second, third = command_of(dict(list(trial.items())[::order]))
    _, python, *module, command = shlex.split(script)[:5]
    assert (python, module, command) == ("python", ["-m", "msal_lightning"], "fit")
    config = parse(build_parser(), [*shlex.split(script)[5:-1], first, second, third])
    assert config.query.class_path.rpartition(".")[2] == trial["query"]
    assert (config.seed, config.model.head, config.logger) == (trial["seed"], trial["model.head"], "wandb")


def test_the_search_in_the_docs_parses():
    docs = (Path(__file__).parents[2] / "docs" / "sweeps.md").read_text()
    search = yaml.safe_load(next(block for block in docs.split("```") if "method: bayes" in block).removeprefix("yaml"))
    for end in ("min", "max"):
        values = {key: p["values"][0] if "values" in p else p[end] for key, p in search["parameters"].items()}
        config = parse(build_parser(), ["--config", "digits", *arguments(**values)])
        assert config.model.optimizer.init_args.lr == values["model.optimizer.lr"]
        assert (config.model.radius, config.query.init_args.beta) == (0.1, values["query.beta"])


def test_a_trial_runs_under_the_id_that_the_agent_gives(tmp_path, commands):
    config = yaml.safe_load((shipped_folder() / "digits.yaml").read_text())
    config["loop"]["query_budget"], config["trainer"]["max_epochs"] = 40, 1
    (tmp_path / "digits.yaml").write_text(yaml.safe_dump(config))  # the nearest one is the one that is taken
    agent = {
        "WANDB_MODE": "offline", "WANDB_DATA_DIR": str(tmp_path), "WANDB_SWEEP_ID": "s1", "WANDB_RUN_ID": "r1",
        "WANDB_PROJECT": "theirs", "WANDB_ENTITY": "them",
    }  # fmt: skip
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")  # says what it would be given
    (tmp_path / "bin" / "python").chmod(0o755)
    path = {"PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    words = subprocess.run(
        command_of(trials()[0]), env={**os.environ, **agent, **path}, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    done = commands.run(*words, cwd=tmp_path, **agent)
    assert done.returncode == 0, done.stderr
    assert "Ignoring" not in done.stderr
    run = tmp_path / "runs" / "s1" / "r1"
    assert len(read_records(run)) == 2
    assert len(list(run.glob("wandb/offline-run-*-r1/run-r1.wandb"))) == 1
    assert (run / "wandb_id").read_text().split() == ["r1", "finished"]
