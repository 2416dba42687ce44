"""Wrong words on the command line of every command."""

import pytest

from msal_lightning.cli.main import COMMANDS, main

# command line: words that the sentence has
OPTIONS = {
    "fitt": "did you mean fit",
    "stauts": "did you mean status",
    "checkstrategy": "did you mean check-strategy",
    "no-such-command": "check-strategy, strategies, datasets",
    "--fit": "expected a command",
    "label": "RUN .*FILE .*label --help",
    "label run": "FILE .*label --help",
    "label run file more": "got 'more'.*label --help",
    "label run file --froce": "unknown option '--froce'.*label --help",
    "status": "RUNS .*status --help",
    "status run --jsn": "unknown option '--jsn': did you mean --json",
    "status run --json=3": "--json alone, got the value '3'",
    "status run --against": "value after --against",
    "status run -x": "unknown option '-x'",
    "status run --Json": "did you mean --json",
    "plot": "RUNS .*plot --help",
    "plot run --out": "value after --out",
    "plot run --ot x": "did you mean --out",
    "plot run --dpi 300": "unknown option '--dpi'",
    "figure": "KIND.*figure --help",
    "figure budgte run": "did you mean budget",
    "figure nothing run": "budget or tsne or .* or ranks or confusion or contact-sheet, got 'nothing'",
    "figure budget": "RUNS .*budget --help",
    "figure budget run --rounds 3": "unknown option '--rounds'",
    "figure tsne run --rounds a": "--rounds.*1,5,10, got 'a'",
    "figure tsne run --rounds": "value after --rounds",
    "figure tsne run --rounds -1": "--rounds",
    "figure tsne run --points 0": "--points.*at least 1, got '0'",
    "figure tsne run --points x": "--points.*at least 1, got 'x'",
    "figure tsne run --points ²": "--points.*at least 1, got '²'",
    "figure tsne run --pints 3": "did you mean --points",
    "figure contact-sheet run --images 0": "--images.*at least 1",
    "figure contact-sheet run --root": "value after --root",
    "report": "RUNS .*report --help",
    "report run --logger wnadb": "did you mean wandb",
    "report run --logger": "value after --logger",
    "report run --uot x": "did you mean --out",
    "strategies Entropy": "got 'Entropy'.*strategies --help",
    "strategies --all": "unknown option '--all'",
    "datasets prepar MNIST": "did you mean prepare",
    "datasets MNIST": "got 'MNIST'",
    "datasets --rot x": "did you mean --root",
    "datasets --root": "value after --root",
    "sweep": "expected an experiment .* or options, --config digits",
    "sweep table9": "got 'table9': did you mean table",
    "sweep --jobs x": "--jobs to be an integer, got 'x'",
    "sweep --jobs": "value after --jobs",
    "sweep --executor loc": "did you mean local",
    "sweep --gpus x": "--gpus to be a number, got 'x'",
    "sweep --cpus 1.5": "--cpus to be an integer, got '1.5'",
    "sweep --config digits --only Random": "--only keeps rows of the paper's experiments",
    "sweep table2 --only Randon": "did you mean Random",
    "sweep --seed": "--seed to have a value",
    "sweep --seed 0,0": "--seed to differ, got '0' twice",
    "sweep --seed 0,,1": "--seed to have a value",
    "sweep seed 0": "got 'seed'",
    "sweep --grid": "value after --grid",
    "sweep --grid none.yaml": "--grid 'none.yaml'",
    "sweep --overwrite --config digits": "--overwrite has no place",
    "sweep --run_dir x --config digits": "--run_dir has no place",
    "query": "--checkpoint .*--images .*--n .*query --help",
    "query --checkpoint run --images photos": "--n .*query --help",
    "query --checkpoint run --images photos --n x": "--n to be an integer, got 'x'",
    "query --checkpoint run --images photos --n 0": "--n to be at least 1, got 0",
    "query --checkpoint run --images photos --n -3": "--n to be at least 1, got -3",
    "query --checkpoint run --images photos --n 3 --imges x": "did you mean --images",
    "query --checkpoint run --images photos --n 3 more": "got 'more'",
    "query --checkpoint run --images photos --n 3 --loop.query_size 3": "unknown option '--loop.query_size'",
    "query --checkpoint run --images photos --n 3 --on_error ignore": "--on_error to be raise or skip, got 'ignore'",
    "replay": "--run .*replay --help",
    "replay --run": "value after --run",
    "replay --run none": "--run to be a run directory",
    "replay --run none --loop.query_size 3": "--loop.query_size from the run in --run",
    "replay --run none --loop.query_budget=3": "--loop.query_budget from the run in --run",
    "replay --run none --loop.initial_size 3": "--loop.initial_size from the run",
    "replay --run none --loop.held_out 3": "--loop.held_out from the run",
    "replay --run none --query Entropy": "--query from the run",
    "replay --run none --query.beta 3": "--query.beta from the run",
    "replay --run none --oracle Files": "--oracle from the run",
    "check-strategy": "name of a strategy .*got none",
    "check-strategy --query.beta 3": "name of a strategy .*got --query.beta",
    "check-strategy Entropyy": "did you mean Entropy",
    "check-strategy entropy": "did you mean Entropy",
    "check-strategy MSALD --query.beeta 3": "no option 'beeta': did you mean beta",
    "check-strategy MSALD --query.beta x": "query.beta to be a number, got 'x'",
    "check-strategy MSALD --query.beta 0": "query.beta must be a number of at least 1, got 0",
    "check-strategy no.such.Thing": "cannot import query 'no.such.Thing'",
    "check-strategy torch.nn.Linear": "subclass of Strategy",
    "check-strategy Entropy more": "more",
    "datasets prepare": "name of a dataset .*got none",
    "datasets prepare MNISTT": "did you mean MNIST",
    "datasets prepare mnist": "did you mean MNIST",
    "datasets prepare Digits --data.rot x": "no option 'rot': did you mean root",
    "datasets prepare Digits more": "more",
    "datasets show": "name of a dataset .*got none",
    "datasets show Digits --out": "value after --out",
    "datasets show Digits --uot x.png": "--uot",
}


@pytest.mark.parametrize("line", OPTIONS)
def test_a_wrong_word_is_one_sentence(line, refused):
    refused(line.split(), OPTIONS[line])


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command(command, capsys):
    with pytest.raises(SystemExit) as end:
        raise SystemExit(main([command, "--help"]))  # argparse exits by itself
    assert end.value.code == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: python -m msal_lightning {command}")
    assert "python -m msal_lightning" in out.partition("\n")[2] or command == "strategies"  # an example
