"""The command line, as a person uses it."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest
import yaml

from msal_lightning.cli.main import COMMANDS, main
from msal_lightning.config.parser import build_parser, instantiate, parse
from msal_lightning.runs.records import read_records

TINY = [
    "--config", "digits", "--trainer.max_epochs", "1", "--trainer.accelerator", "cpu", "--loop.query_budget", "80",
    "--model.backbone.width", "4",
]  # fmt: skip


def in_process(*arguments, cwd, **environment):
    command = [sys.executable, "-m", "msal_lightning", *arguments]
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, env={**os.environ, **environment}, check=False
    )


MISTAKES = {
    "unknown strategy": (["--query", "Entropyy"], "Entropyy.*did you mean Entropy"),
    "unknown criterion": (
        ["--loop.stop", "KappaAgrement"],
        "to name a stopping criterion, .*did you mean KappaAgreement",
    ),
    "unknown first strategy": (["--loop.initial", "TypiClus"], "a strategy without a model, .*did you mean TypiClust"),
    "unknown oracle": (["--oracle", "Xyz"], "a source of labels, got 'Xyz': choose Files, LabelStudio, Simulated"),
    "strategy in other case": (["--query", "msal"], "did you mean MSAL"),
    "unknown option of a strategy": (["--query.beeta", "3"], "no option 'beeta': did you mean beta"),
    "dropout passes without dropout": (["--query", "BALD", "--model.dropout", "0"], "model.dropout to be above 0"),
    "one dropout pass": (["--query", "BALD", "--query.mc_samples", "1"], "query.mc_samples must be at least 2, got 1"),
    "CEAL with another score": (
        ["--query", "CEAL", "--query.uncertainty", "Margin"],
        "must be Entropy or MSAL, got Mar",
    ),
    "MSAL inside on a linear head": (
        ["--query", "DBAL", "--query.uncertainty", "MSAL", "--model.head", "linear"],
        "DBAL-MSAL needs prototypes, got model.head linear",
    ),
    "strategy without a score": (["--query.uncertainty", "Random"], "query.uncertainty.*'Random': choose BALD"),
    "beta below 1": (["--query.beta", "0.5"], "query.beta must be a number of at least 1, got 0.5"),
    "module that is not there": (["--query", "no.such.Thing"], "cannot import query"),
    "class that is no strategy": (["--query", "torch.nn.Linear"], "subclass of Strategy"),
    "unknown dataset": (["--data", "Digit"], "did you mean Digits"),
    "unknown configuration": (["--config", "digts"], "did you mean digits"),
    "no batch of an epoch": (
        ["--trainer.limit_train_batches", "0"],
        "optimizer step.*got trainer.limit_train_batches 0",
    ),
    "no step": (["--trainer.max_steps", "0"], "optimizer step.*got trainer.max_steps 0"),
    "no epoch": (["--trainer.max_epochs", "0", "--trainer.max_steps", "9"], "optimizer step.*got trainer.max_epochs 0"),
    "fit without end": (
        ["--trainer.max_epochs", "-1", "--trainer.max_steps", "-1"],
        "end of each fit, got trainer.max_epochs -1",
    ),
    "query size 0": (["--loop.query_size", "0"], "loop.query_size to be at least 1, got 0"),
    "query size negative": (["--loop.query_size", "-3"], "loop.query_size to be at least 1, got -3"),
    "classes no list": (
        ["--data", "ImageFolder", "--data.classes", "cat"],
        "data.classes to be a list, '.first, second.', got 'cat'",
    ),
    "query size no number": (["--loop.query_size", "x"], "loop.query_size to be an integer, got 'x'"),
    "budget beyond the pool": (["--loop.query_budget", "2000"], "loop.query_budget to be 0 to 1257.*got 2000"),
    "no initial set": (["--loop.initial_size", "0"], "loop.initial_size to be 1 to 1297"),
    "initial set no number": (["--loop.initial_size", "some"], "loop.initial_size to be a number or all"),
    "MSAL on a linear head": (["--query", "MSAL", "--model.head", "linear"], "MSAL needs prototypes.*model.head"),
    "unknown head": (["--model.head", "lin"], "model.head to be prototype or linear, got 'lin'"),
    "radius": (["--model.radius", "-1"], "model.radius"),
    "dropout": (["--model.dropout", "1.5"], "model.dropout"),
    "misspelt key": (["--loop.qurey_size", "3"], "did you mean --loop.query_size"),
    "misspelt group": (["--lop.query_size", "3"], "unknown option '--lop.query_size': did you mean --loop.query_size"),
    "unknown backbone": (
        ["--model.backbone", "Foo"],
        "model.backbone.*choose .*MLP, ResNet18, SmallCNN",
    ),
    "unknown optimizer": (["--model.optimizer", "Adamm"], "did you mean Adam"),
    "learning rate no number": (["--model.optimizer.lr", "x"], "model.optimizer.lr to be a number, got 'x'"),
    "precision": (["--trainer.precision", "foo"], "trainer.precision to be .*bf16-mixed"),
    "half precision weights": (
        ["--trainer.precision", "bf16-true"],
        "trainer.precision to be auto or 32-true or bf16-mixed or 16-mixed, got",
    ),
    "abbreviated key": (["--trainer.max_epoch", "3"], "did you mean --trainer.max_epochs"),
    "a Trainer argument that would cut rounds short": (["--trainer.fast_dev_run", "true"], "unknown option"),
    "learning rate below 0": (["--model.optimizer.lr", "-1"], "[Ii]nvalid learning rate"),
    "width 0": (["--model.backbone.width", "0"], "width to be at least 1"),
    "unknown stem": (["--model.backbone", "ResNet18", "--model.backbone.stem", "conv9"], "conv7 or .*, got 'conv9'"),
    "option that a class needs": (
        ["--model.lr_scheduler", "torch.optim.lr_scheduler.StepLR"],
        "set model.lr_scheduler.step_size",
    ),
    "16 bit on a CPU": (["--trainer.precision", "16-mixed"], "16-mixed needs a GPU"),
    "accelerator": (["--trainer.accelerator", "foo"], "accelerator"),
    "processes that come and go": (
        ["--trainer.devices", "2", "--trainer.strategy", "ddp_spawn"],
        "ddp_spawn, ddp_fork and ddp_notebook.*set trainer.strategy to ddp",
    ),
    "more devices than test images": (["--trainer.devices", "501"], "trainer.devices to be at most 500"),
    "nothing to replay": (["--loop.replay", "{tmp}"], "loop.replay to be a run directory with finished rounds"),
    "unknown retention": (["--loop.keep_checkpoints", "some"], "keep_checkpoints to be .*last"),
    "no epochs": (["--trainer.max_epochs", "null", "--trainer.max_steps", "-1"], "trainer.max_epochs"),
    "batch size": (["--data.batch_size", "1"], "data.batch_size to be at least 2"),
    "logger": (["--logger", "foo"], "logger to be csv or wandb"),
    "files missing, no network": (
        ["--data", "MNIST", "--data.root", "{tmp}"],
        "train-images.*MNIST/raw.*download failed",
    ),
    "data root not usable": (["--data", "MNIST", "--data.root", "/proc/x"], "data.root '/proc/x'"),
}


@pytest.mark.parametrize(("arguments", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_sentence_and_exit_code_2(arguments, message, tmp_path, capsys, no_network):
    arguments = [argument.format(tmp=tmp_path / "nothing") for argument in arguments]
    assert main(["fit", *TINY, "--run_dir", str(tmp_path / "run"), *arguments]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert re.search(message, err), err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("loop: {query_sizee: 3}", "unknown key 'loop.query_sizee': did you mean loop.query_size"),
        ("lop: {query_size: 3}", "unknown key 'lop.query_size': did you mean loop.query_size"),
        ("model: {bakbone: SmallCNN}", "unknown key 'model.bakbone': did you mean model.backbone"),
        ("query: {class_path: MSALD, init_args: {beeta: 3}}", "no option 'beeta'"),
        ("query: Foo", "query to name a strategy"),
        ("data: {class_path: Digits, init_args: {augmentation: Foo}}", "data.augmentation.*choose CropFlip"),
    ],
)
def test_a_mistake_in_a_file_is_one_sentence(text, message, tmp_path, capsys):
    (tmp_path / "my.yaml").write_text(text)
    assert main(["fit", *TINY, "--config", str(tmp_path / "my.yaml"), "--run_dir", str(tmp_path / "run")]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert re.search(message, err), err


def test_required_keys_name_a_remedy(capsys):
    assert main(["fit", "--seed", "3"]) == 2
    assert "--config digits" in capsys.readouterr().err


def test_unknown_command(capsys):
    assert main(["ftt"]) == 2
    assert "did you mean fit?" in capsys.readouterr().err


def test_help_names_every_command(capsys):
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"  {name} " in out for name in COMMANDS)


def test_help_of_fit_is_short_and_has_no_class_lists(capsys):
    with pytest.raises(SystemExit) as exit:
        main(["fit", "--help"])
    assert exit.value.code == 0
    out = capsys.readouterr().out
    assert len(out.splitlines()) < 190
    assert "known subclasses" not in out
    for option in ("--config", "--loop.query_budget", "--query NAME", "--model.head", "--trainer.precision"):
        assert option in out


@pytest.mark.parametrize(
    ("command", "names"), [("strategies", ["MSALD", "Random"]), ("datasets", ["Digits", "CIFAR100"])]
)
def test_lists_have_one_line_each_and_import_no_torch(command, names, tmp_path):
    code = (
        f"import sys; from msal_lightning.cli.main import main; main(['{command}']); sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for name in names:
        assert [line for line in lines if line.startswith(f"{name} ") and line.rstrip().endswith(".")]


def test_lists_are_complete():
    from msal_lightning import datasets, strategies
    from msal_lightning.config.catalog import classes
    from msal_lightning.config.errors import concrete_names
    from msal_lightning.data import ActiveDataModule

    def ours(package):
        return set(package.__all__)

    assert set(classes("strategies", "Strategy")) == set(concrete_names(strategies.Strategy)) & ours(strategies)
    assert set(classes("datasets", "ActiveDataModule")) == set(concrete_names(ActiveDataModule)) & ours(datasets)


def test_a_normal_run_says_what_it_did_and_nothing_else(tmp_path, commands):
    done = in_process("fit", *TINY, "--run_dir", "out", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0].startswith("Digits, query MSALD, seed 0: 40 to 120 labels in 3 rounds")
    assert [line.split()[:2] for line in lines[2:5]] == [["0", "40"], ["1", "80"], ["2", "120"]]
    assert re.fullmatch(
        r"AUBC 0\.\d{4}, final accuracy 0\.\d{4} with 120 labels; results in out \(.* MB, .* MB of it checkpoints\)",
        lines[5],
    )

    again = commands.run("-m", "msal_lightning", "fit", *TINY, "--run_dir", "out", cwd=tmp_path)
    assert again.returncode == 0
    assert (
        again.stdout.splitlines()[0]
        == "The run in out is finished; `extend` queries more, and --overwrite starts it anew."
    )
    assert again.stdout.splitlines()[1] == lines[5]


def test_ctrl_c_says_how_to_go_on_and_the_same_command_does(tmp_path, commands):
    # seconds a round, on a busy machine too
    arguments = ["-m", "msal_lightning", "fit", *TINY, "--trainer.max_epochs", "100", "--run_dir", "out"]
    process = commands.start(*arguments, cwd=tmp_path)
    while not (tmp_path / "out" / "rounds" / "000.json").exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130
    assert err.split("\n") == [
        "",
        "SIGINT: stopping after this batch; once more stops at once",
        f"stopped by SIGINT in round {len(read_records(tmp_path / 'out'))}: the same command resumes from there",
        "",
    ]
    done = len(read_records(tmp_path / "out"))
    assert 1 <= done < 3
    resumed = commands.run(*arguments, cwd=tmp_path)
    assert resumed.returncode == 0
    assert f"(resuming after round {done - 1})" in resumed.stdout
    assert len(read_records(tmp_path / "out")) == 3


def test_configurations_merge_and_keys_override(tmp_path, capsys):
    (tmp_path / "a.yaml").write_text("seed: 5\nloop: {query_size: 7}\n")
    arguments = ["--config", "digits", "--config", str(tmp_path / "a.yaml"), "--query", "MSALD", "--query.beta", "9"]
    with pytest.raises(SystemExit):
        main(["fit", *arguments, "--model.head", "linear", "--loop.query_budget", "14", "--print_config"])
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["seed"] == 5
    assert config["loop"]["query_size"] == 7
    assert config["loop"]["query_budget"] == 14
    assert config["loop"]["initial_size"] == 40
    assert config["query"]["init_args"]["beta"] == 9
    assert config["model"]["head"] == "linear"


def test_the_saved_configuration_runs_again_to_the_same_ledger(tmp_path):
    assert main(["fit", *TINY, "--seed", "4", "--run_dir", str(tmp_path / "a"), "--overwrite"]) == 0
    assert main(["fit", "--config", str(tmp_path / "a" / "config.yaml"), "--run_dir", str(tmp_path / "b")]) == 0
    assert (tmp_path / "a" / "ledger.csv").read_bytes() == (tmp_path / "b" / "ledger.csv").read_bytes()
    assert "overwrite" not in yaml.safe_load((tmp_path / "a" / "config.yaml").read_text())  # it must not erase the run


def test_a_run_directory_of_another_configuration_is_refused(tmp_path, capsys):
    assert main(["fit", *TINY, "--run_dir", str(tmp_path / "a")]) == 0
    capsys.readouterr()
    assert main(["fit", *TINY, "--query.beta", "6", "--run_dir", str(tmp_path / "a")]) == 2
    assert "query.init_args.beta was 5.0, now 6.0" in capsys.readouterr().err
    assert main(["fit", *TINY, "--query.beta", "6", "--run_dir", str(tmp_path / "a"), "--overwrite"]) == 0


def test_the_default_run_directory_names_what_ran(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["fit", *TINY, "--query.uncertainty", "Entropy", "--seed", "2", "--loop.query_budget", "40"]) == 0
    assert (tmp_path / "runs" / "Digits-MSALD-Entropy-prototype-seed2" / "ledger.csv").exists()


def test_a_strategy_and_callbacks_of_your_own(tmp_path, commands):
    (tmp_path / "mine.py").write_text(
        "from msal_lightning import ScoreStrategy\n"
        "from lightning.pytorch import Callback\n"
        "class Oldest(ScoreStrategy):\n"
        "    '''The lowest index first.'''\n"
        "    def score(self, pool, seed):\n"
        "        return -pool.index.float()\n"
        "class Count(Callback):\n"
        "    def __init__(self): self.fits = 0\n"
        "    def on_fit_start(self, trainer, pl_module):\n"
        "        self.fits += 1\n"
        "        print('fits', self.fits)\n"
    )
    mine = ["--query", "mine.Oldest", "--trainer.callbacks+", "mine.Count"]
    done = commands.run("-m", "msal_lightning", "fit", *TINY, *mine, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("fits 1") == 3  # a fresh one each round
    records = read_records(tmp_path / "runs" / "Digits-Oldest-prototype-seed0")
    free = sorted(set(range(1297)) - set(records[0].initial.index))
    assert records[0].queried.index == free[:40]


@pytest.mark.parametrize(
    ("arguments", "name", "options"),
    [
        (["--query", "MSALD"], "MSALD", {"beta": 5.0}),  # as digits.yaml has it
        (["--query.beta", "7"], "MSALD", {"beta": 7.0}),
        (["--query", "DBAL"], "DBAL", {"beta": 10.0}),
        (["--query", "CEAL"], "CEAL-Entropy", {"threshold": 0.05}),
        (["--query", "DBAL", "--query.uncertainty", "Entropy"], "DBAL-Entropy", {"beta": 10.0}),
        (["--query", "PowerAcquisition", "--query.uncertainty", "Margin"], "PowerMargin", {"beta": 1.0}),
        (["--query.uncertainty", "Margin", "--query.uncertainty.mc_samples", "3"], "MSALD-MarginD", {"beta": 5.0}),
    ],
)
def test_another_class_starts_from_its_own_defaults(arguments, name, options):
    parser = build_parser()
    strategy = instantiate(parser, parse(parser, ["--config", "digits", *arguments]), "query").query
    assert strategy.name == name
    assert {key: getattr(strategy, key) for key in options} == options


def test_another_class_in_a_later_file_starts_from_its_own_defaults(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("query: DBAL\nmodel: {optimizer: torch.optim.SGD}\n")
    config = parse(build_parser(), ["--config", "digits", "--config", str(file)])
    assert config.query.init_args.beta == 10.0
    assert config.model.optimizer.init_args.lr == 1e-3
    assert config.model.optimizer.init_args.fused is None


def test_a_reader_that_has_enough_is_no_error():
    command = f"set -o pipefail; {sys.executable} -m msal_lightning strategies | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode in (0, 141), done.stderr) == (True, "")
