"""From a command line to cells."""

import subprocess
import sys
from pathlib import Path

import pytest

from msal_lightning.cli.main import main
from msal_lightning.errors import UserError
from msal_lightning.paper.experiments import EXPERIMENTS
from msal_lightning.sweep.grid import cells, name_of, read_grid, read_options, split
from msal_lightning.sweep.jobs import make_jobs

ROWS2 = [
    "Full",
    "Random",
    "LeastConf",
    "LeastConfD",
    "Margin",
    "MarginD",
    "Entropy",
    "EntropyD",
    "BALD",
    "MeanSTD",
    "VarRatio",
    "CEAL(Entropy)",
    "KMeans",
    "KMeans_(GPU)",
    "KCenter",
    "BADGE(KMeans++)",
    "DBAL(KMeans)",
    "MSAL",
    "MSAL-D",
]
CLASSICAL = set(ROWS2) - {"MSAL", "MSAL-D"}


def options(line):
    return read_options(line.split())


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("0,1,2", ["0", "1", "2"]),
        ("[0.5, 0.9],[1,2]", ["[0.5, 0.9]", "[1,2]"]),
        ('{"a": "x,y"},b', ['{"a": "x,y"}', "b"]),
        ("'a,b'", ["'a,b'"]),
        ("one", ["one"]),
    ],
)
def test_commas_outside_of_brackets_and_quotes_separate(text, parts):
    assert split(text) == parts


def test_all_combinations_with_readable_names():
    found = cells([], options("--config digits --query=Random,mine.Entropy --seed 0,1 --loop.query_size 20,40"))
    assert [cell.name for cell in found[:3]] == [
        "digits-Random-query_size=20-seed0",
        "digits-Random-query_size=20-seed1",
        "digits-Random-query_size=40-seed0",
    ]
    assert len(found) == len({cell.name for cell in found}) == 8
    assert found[-1].name == "digits-Entropy-query_size=40-seed1"
    last = "--config digits --query mine.Entropy --loop.query_size 40 --seed 1"
    assert " ".join(found[-1].arguments) == last


def test_a_file_says_the_same(tmp_path):
    file = tmp_path / "grid.yaml"
    file.write_text("config: digits\nquery: [Random, Entropy]\nseed: [0, 1]\nloop.pool_error: true\n")
    line = options("--config digits --query Random,Entropy --seed 0,1 --loop.pool_error true")
    assert read_grid(str(file)) == line


# columns x rows, counted by hand in the paper
@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("table2", 5 * 19),  # with BADGE on TinyImageNet, which the paper leaves empty
        ("table3", 5 * 11),
        ("table4", 5 * 2),
        ("table5", 2 * 2 * 6),
        ("beta", 5 + 5 + 3),
        ("query_size", 4),
    ],
)
def test_experiments_are_the_papers_cells(name, count):
    found = cells([name], [])
    assert len(found) == 3 * count
    assert len({cell.name for cell in found}) == 3 * count


# the other tables and datasets are read by tests/paper/test_reported.py
@pytest.mark.parametrize(("name", "more", "count"), [
    ("table2", [("config", ["fashion_mnist"])], 19), ("beta", [], 13), ("query_size", [], 4),
])  # fmt: skip
def test_all_cells_of_an_experiment_are_jobs(name, more, count):
    jobs, left_out = make_jobs(cells([name], [("seed", ["0"]), *more]), Path("nowhere"))
    assert left_out == []
    assert len(jobs) == count
    assert [job.cell.row for job in jobs if job.rounds == 1] == (["Full"] if name == "table2" else [])


def test_rows_of_table_2_and_their_heads():
    (rows, *_) = EXPERIMENTS["table2"].values()
    assert [row.replace(" ", "_") for row in rows] == ROWS2
    for row, words in rows.items():
        assert words[words.index("--model.head") + 1] == (
            "linear" if row.replace(" ", "_") in CLASSICAL else "prototype"
        )


def test_other_configurations_and_cuts():
    found = cells(["table2"], options("--config fashion_mnist --loop.query_budget 1000 --seed 4"), ["BADGE", "Full"])
    assert [cell.name for cell in found] == ["fashion_mnist-Full-seed4", "fashion_mnist-BADGE-KMeans++-seed4"]
    assert found[1].row == "BADGE(KMeans++)"
    assert found[1].arguments[-4:] == ("--loop.query_budget", "1000", "--seed", "4")
    both = cells(["table5"], options("--config digits --seed 0"), ["Random"])
    assert [cell.name for cell in both] == ["digits-imbalance=0.1-Random-seed0", "digits-imbalance=0.01-Random-seed0"]


def test_tables_share_cells():
    shared = 5 * 5  # Full, Random, LeastConf, Margin and Entropy on each dataset
    assert len(cells(["table2", "table3"], [("seed", ["0"])])) == 95 + 55 - shared


def test_meaningless_cells_are_left_out_and_groups_share_round_0(tmp_path):
    found = cells([], options("--config digits --query Random,MSALD,Entropy --model.head linear,prototype --seed 0,1"))
    jobs, left_out = make_jobs(found, tmp_path)
    assert left_out == ["left out 2 of MSALD with model.head linear: it needs prototypes"]
    assert len(jobs) == 10
    assert len({job.group for job in jobs}) == 4  # head and seed
    assert {job.rounds for job in jobs} == {10}


MISTAKES = {
    "unknown experiment": (["table7"], "got 'table7': did you mean"),
    "nothing": ([], "expected an experiment"),
    "experiment behind the options": (["--config", "digits", "table2"], "come first"),
    "unknown row": (["table2", "--only", "LeastConfid"], "did you mean LeastConf"),
    "rows of a grid": (["--config", "digits", "--only", "Random"], "--only keeps rows of the paper's experiments"),
    "a value twice": (["--config", "digits", "--seed", "0,1,0"], "got '0' twice"),
    "an empty value": (["--config", "digits", "--seed", "0,,1"], "got an empty one"),
    "a flag": (["--config", "digits", "--overwrite"], "--overwrite has no place in a sweep"),
    "run_dir": (["--config", "digits", "--run_dir", "x"], "--run_dir has no place in a sweep"),
    "option of fit": (["--config", "digits", "--loop.qurey_size", "3,4"], "did you mean --loop.query_size"),
    "value of fit": (["--config", "digits", "--query", "Random,Entropyy"], "did you mean Entropy"),
    "seed": (["--config", "digits", "--seed", "0,x"], "--seed to be whole numbers.*got 'x'"),
    "jobs": (["--config", "digits", "--jobs", "0"], "--jobs to be at least 1, got 0"),
    "jobs no number": (["--config", "digits", "--jobs", "x"], "--jobs to be an integer"),
    "no file": (["--grid", "nowhere.yaml"], "cannot read --grid 'nowhere.yaml'"),
    "executor": (["--config", "digits", "--executor", "pbs"], "local or warm or ray or slurm, got 'pbs'"),
    "all left out": (["--config", "digits", "--query", "MSAL", "--model.head", "linear"], "no cell is left"),
}


@pytest.mark.parametrize(("arguments", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_sentence_and_exit_code_2(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["sweep", *arguments]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    with pytest.raises(UserError, match=message):
        raise UserError(err)
    assert not (tmp_path / "runs").exists()


def test_the_same_command_has_the_same_name():
    assert name_of(["table2"], options("--config fashion_mnist --seed 0,1")) == "table2-fashion_mnist"
    assert name_of([], options("--config digits --query Random,Entropy --seed 0,1")) == "digits-query-seed"


def test_help_and_lists_import_no_torch(tmp_path):
    code = (
        "import sys\nfrom msal_lightning.cli.main import main\n"
        "try: main(['sweep', '--help'])\nexcept SystemExit: pass\nsys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "table2" in done.stdout
