"""CSV cells: no spreadsheet runs one, and all come back as they were."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msal_lightning.io.csv_cells import guard, guard_path, table, unguard
from msal_lightning.oracles.base import Annotation, LabelingBatch, LabelingTask
from msal_lightning.oracles.csv_files.csv_file import read_answers, write_csv
from msal_lightning.runs.directory import RunDirectory
from msal_lightning.runs.records import LabeledImages, RoundRecord

FORMULAS = [
    "=1+1", "+1+1", "-1+1", "@SUM(A1)", "\tx", "\rx", "\nx", " =1", '"=1', "'=1", "' \"=1", "\ufeff=1", "\u200b@x",
    "\uff1d1", "\uff0b1", "\uff0dx", "\uff20x", '=HYPERLINK("http://x","y")', "=cmd|' /C calc'!A0", "-", "+", "=", "-x",
]  # fmt: skip
ANY = st.integers(0, 0x10FFFF).map(chr).filter(lambda c: not "\ud800" <= c <= "\udfff")  # st.text() takes 3 s to start
WORDS = st.text(st.sampled_from("=+-@\t\r\n'\" \ufeff\uff1d\uff0b0123.eaé,;")) | st.lists(ANY).map("".join)


def runs(cell):
    """The naive rule, on what a spreadsheet sees: behind spaces and quotes no character that begins a formula."""
    seen = cell.lstrip(' "\ufeff\u200b\u00a0')
    return seen[:1] in tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20") and seen != ""


@given(WORDS)
def test_a_guarded_cell_comes_back(text):
    assert unguard(guard(text)) == text


@given(st.lists(WORDS, min_size=1, max_size=4))
def test_a_table_comes_back(texts):
    rows = list(csv.reader(io.StringIO(table([{str(n): text for n, text in enumerate(texts)}]), newline="")))
    assert [unguard(cell) for cell in (rows[1] or [""])] == texts  # a line of one blank field is blank


@pytest.mark.parametrize("text", FORMULAS)
def test_formulas_begin_with_an_apostrophe(text):
    assert guard(text) == f"'{text}"
    assert not runs(guard(text))
    assert guard_path(text) == f"./{text}"


@pytest.mark.parametrize("cell", [-1, -0.5, None, "-1", "-1.5e-3", "+2", "x=1", "a-b", "", "-inf", 3])
def test_numbers_and_words_stay(cell):
    assert guard(cell) == cell


@pytest.mark.parametrize("text", FORMULAS)
def test_a_question_with_such_a_class_and_file_is_answered(text, tmp_path):
    if text != text.strip() or text.strip("\ufeff\u200b") != text:
        pytest.skip("a class name has no space around it")
    items = (
        LabelingTask(0, f"{text}.png", tmp_path / "x", text, -0.5, 0.5, 0),
        LabelingTask(1, "b.png", tmp_path / "y", None, None, None, 1),
    )
    question = LabelingBatch("round-001", items, (text, "cat"), tmp_path)
    file = tmp_path / "q.csv"
    write_csv(question, file, [Annotation(text), None])
    rows = list(csv.DictReader(file.read_text().splitlines()))
    assert not any(runs(cell) for row in rows for name, cell in row.items() if name != "score")
    assert rows[0]["score"] == "-0.5"
    assert read_answers(question, file) == [Annotation(text), None]


def test_ledger_and_curve_are_guarded(tmp_path):
    queried = LabeledImages([3], [0], [-0.25], ["=1+1.png"])
    record = RoundRecord(
        0, 1, 5, {"accuracy": 0.5, "=x": -1.0}, {"fit": 1.0}, None, [1], queried, LabeledImages(), {},
        class_names=["=2+2", "b"],
    )  # fmt: skip
    run = RunDirectory(tmp_path / "run", {"seed": 0})
    run.open()
    run.commit(record)
    run.close()
    assert (tmp_path / "run" / "ledger.csv").read_text().splitlines()[1] == "1,0,3,-0.25,0,'=2+2,./=1+1.png"
    assert (tmp_path / "run" / "curve.csv").read_text().splitlines()[0].split(",")[3] == "'=x"
