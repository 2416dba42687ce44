"""The paper's numbers, against cells typed by hand."""

import csv
import re
from importlib.resources import files

import pytest

from msal_lightning.config.parser import build_parser, parse, resolve
from msal_lightning.paper.experiments import EXPERIMENTS
from msal_lightning.paper.methods import method_name
from msal_lightning.paper.reported import has_dataset, reported
from msal_lightning.runs.config import flatten

TEXT = (files("msal_lightning.paper") / "paper.csv").read_text()
ROWS = list(csv.DictReader(TEXT.splitlines()))
CELLS = [
    (2, "MNIST", None, "MSAL-D", "AUBC", 0.9820, False),
    (2, "SVHN", None, "KCenter", "F-acc", 0.8283, True),
    (2, "CIFAR10", None, "Entropy", "F-acc", 0.8828, False),
    (2, "CIFAR100", None, "BADGE", "AUBC", 0.4803, True),
    (2, "TinyImageNet", None, "KMeans (GPU)", "F-acc", 0.2288, True),
    (2, "TinyImageNet", None, "DBAL", "AUBC", 0.159, False),
    (2, "SVHN", None, "Full", "F-acc", 0.9190, False),
    (3, "MNIST", None, "LeastConf(MSAL-D)", "AUBC", 0.9810, False),
    (3, "SVHN", None, "Margin(MSAL-D)", "F-acc", 0.9324, False),
    (3, "CIFAR100", None, "LeastConf(MSAL)", "F-acc", 0.606, False),
    (3, "TinyImageNet", None, "Entropy(MSAL)", "F-acc", 0.343, False),
    (4, "SVHN", None, "CEAL(MSAL)", "AUBC", 0.8807, False),
    (4, "TinyImageNet", None, "CEAL(MSAL)", "F-acc", 0.3547, False),
    (5, "CIFAR10", 0.01, "MSAL", "F-acc", 0.6358, False),
    (5, "CIFAR100", 0.1, "Margin", "AUBC", 0.3263, False),
    (5, "CIFAR100", 0.01, "Entropy", "F-acc", 0.3128, False),
    (5, "CIFAR10", 0.1, "LeastConf", "F-acc", 0.7976, False),
    (5, "CIFAR10", 0.1, "Full", "F-acc", 0.8060, False),
]


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: "-".join(map(str, cell[:5])))
def test_cells(cell):
    table, *where, value, dagger = cell
    assert [(c.table, c.value, c.dagger) for c in reported(*where)] == [(table, value, dagger)]


@pytest.mark.parametrize("name", ["table2", "table3", "table4", "table5"])
def test_the_cells_of_a_sweep_find_their_numbers(name):
    """A row is parsed once, a dataset once: a row has the same options for each dataset."""
    parser, parsed_row = build_parser(), {}
    for (config, *fixed), rows in EXPERIMENTS[name].items():
        where = ()
        for row, options in rows.items():
            if not where or row not in parsed_row:
                parsed = flatten(resolve(parser, parse(parser, ["--config", config, *options, *fixed])))
                where = parsed["data.class_path"].rpartition(".")[2], parsed.get("data.init_args.imbalance")
                parsed_row[row] = options, method_name(parsed)
            method = {"BADGE(KMeans++)": "BADGE", "DBAL(KMeans)": "DBAL", "Ours(MSAL)": "MSAL"}.get(row, row)
            assert parsed_row[row] == (options, method)
            is_empty = (config, row) == ("tiny_imagenet", "BADGE(KMeans++)")  # in the paper's table
            assert bool(reported(*where, method, "F-acc")) != is_empty


def test_every_cell_of_every_table_is_there_and_plain():
    # rows × columns, less the dashes: Full has no AUBC, BADGE no TinyImageNet
    expected = {"2": 19 * 10 - 5 - 2, "3": 11 * 10 - 5, "4": 5 * 4, "5": 6 * 8 - 4}
    assert {table: sum(row["table"] == table for row in ROWS) for table in expected} == expected
    assert all(re.fullmatch(r"0\.\d{3,4}", row["value"]) and row["dagger"] in "01" for row in ROWS)
    assert not re.search(r"[<>*†_$]", TEXT)
    assert len({tuple(list(row.values())[:5]) for row in ROWS}) == len(ROWS)


def test_tables_that_disagree_are_both_told():
    both = [(c.table, c.value) for c in reported("CIFAR10", None, "Random", "AUBC")]
    assert both == [(2, 0.7970), (3, 0.7967)]
    assert [(c.table, c.value) for c in reported("CIFAR10", None, "Margin", "F-acc")] == [(2, 0.8815), (3, 0.8800)]


def test_what_the_paper_has_not():
    assert reported("FashionMNIST", None, "Random", "AUBC") == []
    assert not has_dataset("FashionMNIST", None)
    assert not has_dataset("MNIST", 0.1)
    assert has_dataset("CIFAR100", 0.01)
