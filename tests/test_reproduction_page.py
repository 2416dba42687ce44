"""The page of the reproduction is what its table says."""

import io
import tarfile

import pytest

from benchmarks.marks import fill
from benchmarks.reproduction.cells import compare, paper_cell
from benchmarks.reproduction.page import PAGE, tables
from benchmarks.reproduction.state import STATE, packed
from benchmarks.reproduction.table import TABLE, read_table, write_table
from msal_lightning.paper.reported import Reported
from msal_lightning.sweep.reproduction import NAMES, ROWS, runs


def test_the_page_is_the_one_of_its_table():
    assert PAGE.read_text() == fill(PAGE, tables(read_table()))


def test_the_table_is_read_as_it_was_written(tmp_path):
    lines = read_table()
    write_table(reversed(lines), tmp_path / "table.csv")
    assert (tmp_path / "table.csv").read_bytes() == TABLE.read_bytes()
    planned = {(name, run.row, run.last_batch, run.seed) for name in NAMES for run in runs(name)}
    assert {line.key[:4] for line in lines} <= planned


def test_a_cell_is_compared_by_hand():
    paper = Reported(2, "0.9820", False)
    one = compare([0.98, 0.982, 0.984], paper)  # std 0.002; t of 0.975 and 2 degrees of freedom: 4.3027
    assert (one.mean, one.difference) == (pytest.approx(0.982), pytest.approx(0.0))
    assert one.half == pytest.approx(4.3027 * 0.002 / 3**0.5, rel=1e-4)
    assert one.error == pytest.approx(0.002 * (2 / 3) ** 0.5)
    assert one.verdict == "undecided"  # 0.0070 is wider than the margin
    assert compare([0.9815, 0.982, 0.9825], paper).verdict == "reproduced"
    assert compare([0.952, 0.953, 0.954], paper).verdict == "**not reproduced**"


def test_the_papers_rows_are_found():
    without = {row for row in ROWS if paper_cell(row, "F-acc") is None}
    assert without == {"beta=10", "beta=20", "beta=25", "beta=30"}
    assert paper_cell("BADGE(KMeans++)", "AUBC").printed == "0.9707"


def test_the_state_has_records_and_nothing_of_the_machine(tmp_path):
    run = tmp_path / "mnist-Random"
    (run / "rounds").mkdir(parents=True)
    (run / "config.yaml").write_text("seed: 0\nrun_dir: /home/somebody/x\nlogger: csv\n")
    for name in ("rounds/000.json", "ledger.csv", "signature", "images.jsonl.gz"):
        (run / name).write_text("{}")
    (tmp_path / "sweep.json").write_text("[]")
    content = packed(tmp_path)
    assert content == packed(tmp_path)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        names = archive.getnames()
        config = archive.extractfile("sweep-reproduce/mnist-Random/config.yaml").read()
    assert names == [f"sweep-reproduce/{x}" for x in (
        "mnist-Random/config.yaml", "mnist-Random/rounds/000.json", "sweep.json",
    )]  # fmt: skip
    assert config == b"seed: 0\nrun_dir: sweep-reproduce/mnist-Random\nlogger: csv\n"
    with tarfile.open(STATE) as archive:
        assert not [name for name in archive.getnames() if name.startswith("/") or ".." in name]
