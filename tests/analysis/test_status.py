"""``status`` on run directories without any training."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from msal_lightning.analysis.stats.estimates import Estimate
from msal_lightning.analysis.status import conclusions, look
from msal_lightning.cli.main import main
from msal_lightning.cli.status import show
from msal_lightning.oracles.base import Annotation, LabelingBatch, LabelingTask
from msal_lightning.oracles.csv_files.csv_file import write_csv
from msal_lightning.runs.directory import RunDirectory
from msal_lightning.runs.pending import PendingRequest, write_pending
from msal_lightning.runs.records import LabeledImages, RoundRecord, Skipped, read_records, record_body

LOOP = {"initial_size": 100, "query_size": 50, "query_budget": 220}


@pytest.fixture
def write_run(tmp_path):
    def write(name, accuracies, query="MSALD", seed=0, num_test=500, **more):
        config = {
            "seed": seed,
            "loop": LOOP,
            "data": {"class_path": "msal_lightning.datasets.Digits"},
            "query": {"class_path": f"msal_lightning.strategies.{query}"},
            "model": {"head": "prototype"},
            **more,
        }
        run = RunDirectory(tmp_path / name, config)
        run.open()
        for k, accuracy in enumerate(accuracies):
            first = 100 + 50 * k
            run.commit(
                RoundRecord(
                    round=k,
                    num_labeled=first,
                    num_pool=1000 - first,
                    metrics={"accuracy": accuracy},
                    seconds={"fit": 2.0, "test": 0.5, "query": 0.5},
                    pool_error=None,
                    class_counts=[50, 0],
                    queried=LabeledImages(list(range(first, first + 50)), [0] * 50),
                    initial=LabeledImages(list(range(100)), [0] * 100) if k == 0 else LabeledImages(),
                    environment={},
                    num_test=num_test,
                )
            )
        run.close()
        return run.path

    return write


def words(capsys):
    return " ".join(capsys.readouterr().out.split())


def test_says_how_far_a_run_is(write_run, capsys):
    run = write_run("a", [0.5, 0.6, 0.7])
    assert main(["status", str(run)]) == 0
    said = words(capsys)
    assert "MSAL-D on Digits, seed 0 3 of 6 rounds, 250 of 320 labels (100 initial, 150 queried)" in said
    assert "0.7000 0.658 – 0.739" in said  # Wilson by hand: (0.7 + 0.00384 ± 0.04014) / 1.00768
    assert "the next 100 labels may add" in said
    assert "Random" not in said
    assert "waiting" not in said


def test_for_machines(write_run, capsys):
    run = write_run("a", [0.5, 0.6], num_test=None)
    assert main(["status", str(run), str(write_run("b", [])), "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert (first["rounds"], first["budget"], first["bought"]) == (6, 320, 100)
    assert [one["accuracy"] for one in first["tested"]] == [0.5, 0.6]
    assert first["gain"] is first["random"] is first["busy"] is first["waiting"] is None
    assert (second["tested"], second["initial"]) == ([], 0)


def test_random_beside_it_is_compared_seed_by_seed(write_run, capsys):
    runs = [write_run(f"ours{s}", [0.5, 0.7 + s / 100], seed=s) for s in range(3)]
    for s in range(3):
        write_run(f"random{s}", [0.5, 0.69 + s / 100], "Random", seed=s)
    write_run("other", [0.5, 0.99], "Random", loop={**LOOP, "query_size": 25})  # not comparable
    assert main(["status", str(runs[0])]) == 0
    said = words(capsys)
    assert "Random is beaten: 0.7100 against 0.7000 with 150 labels (3 seeds, p = 0.000)" in said
    # one seed on 500 images: 0.01 is chance
    alone = write_run("alone/run", [0.5, 0.70])
    assert main(["status", str(alone), "--against", str(write_run("alone/r", [0.5, 0.69], "Random"))]) == 0
    assert "Random is not beaten: 0.7000 against 0.6900 with 150 labels (one seed, p = 0.7" in words(capsys)


def ask(run, labels=()):
    items = tuple(LabelingTask(i, f"{i}.png", Path(f"{i}.png"), "cat", 0.5, 0.4, i) for i in range(5))
    question = LabelingBatch("round-002", items, ("cat", "dog"), run / "queries")
    write_pending(run, PendingRequest("round-002", {}).ask(question))
    question.folder.mkdir(exist_ok=True)
    file = question.folder / "round-002.csv"
    write_csv(question, file)
    lines = file.read_text().splitlines()
    for i, label in enumerate(labels, 1):
        lines[i] += label
    file.write_text("\n".join(lines) + "\n")
    return file


def test_says_what_is_waited_for(write_run, capsys):
    run = write_run("a", [0.5, 0.6])
    file = ask(run, ["cat", "skip"])
    assert main(["status", str(run)]) == 0
    assert f"waiting for 3 of 5 labels in {file}" in "".join(capsys.readouterr().out.splitlines()) or look(run)
    assert (look(run).waiting.blank, look(run).waiting.file) == (3, str(file))
    file = ask(run, ["horse"])
    assert "the class 'horse' is not known" in look(run).waiting.mistake
    assert look(write_run("b", [0.5], oracle={"init_args": {"allow_new_classes": True}})).waiting is None


def test_answers_count_before_their_round_is_recorded(write_run, capsys):
    run = write_run("a", [])
    items = tuple(LabelingTask(i, f"{i}.png", Path(f"{i}.png"), None, None, None, i) for i in range(4))
    first = LabelingBatch("initial", items, ("cat", "dog"), run / "queries")
    given = [Annotation("cat"), Annotation("dog"), Annotation(None, "skip"), Annotation("dog")]
    write_pending(run, PendingRequest("initial").ask(first).annotate(given))
    got = look(run)
    assert (got.initial, got.queried, got.skipped, got.tested, got.waiting) == (3, 0, 1, [], None)
    draft = replace(
        read_records(write_run("b", [0.8]))[0], queried=LabeledImages(), skipped=Skipped([2], ["skip"], ["2.png"])
    )
    more = replace(first, name="round-000", items=items[:2])
    request = (
        PendingRequest("round-000", record_body(draft))
        .ask(more)
        .annotate([Annotation(None, "unsure"), Annotation("dog")])
    )
    write_pending(run, request.ask(replace(more, name="round-000-2", items=items[3:])))
    got = look(run)
    assert (got.initial, got.queried, got.skipped, len(got.tested)) == (100, 1, 2, 1)
    assert (got.waiting.question, got.waiting.blank) == ("round-000-2", 1)
    assert main(["status", str(run)]) == 0
    said = words(capsys)
    assert "1 of 6 rounds, 101 of 320 labels (100 initial, 1 queried, 2 skipped)" in said
    assert "0.8000" in said


def test_the_curve_fits_into_eighty_columns(write_run, capsys):
    run = write_run("a", [0.5, 0.6, 0.7])
    console = Console(width=80, highlight=False)
    show(look(run), console)
    said = capsys.readouterr().out
    assert "…" not in said
    assert "━" * 20 in said


def test_what_is_no_run_is_a_sentence(tmp_path, capsys):
    assert main(["status", str(tmp_path)]) == 2
    assert "to be a run directory, found no config.yaml in it" in capsys.readouterr().err


def test_it_starts_without_torch(write_run):
    run = write_run("a", [0.5, 0.6, 0.7])
    code = "import sys; from msal_lightning.cli.main import main; main(['status', sys.argv[1]]); "
    code += "print('torch' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code, run], capture_output=True, text=True, check=True).stdout
    assert said.splitlines()[-1] == "False"


def test_a_trend_beyond_the_end_of_the_scale_is_no_interval(write_run):
    run = write_run("steep", [0.2, 0.5, 0.8])
    cut = replace(look(run), gain=Estimate(0.2, 0.2, 0.2))
    said = "the next 100 labels may add +20.0 points of accuracy at most: the trend of the last rounds leads beyond"
    assert any(line.startswith(said) for line in conclusions(cut))
    for low, said in ((0.1, "+10.0 to +20.0 points of accuracy, the rest to 100 %"), (-0.1, "-10.0 to +20.0 points")):
        wide = replace(look(run), gain=Estimate(0.2, low, 0.2))
        assert any(f"the next 100 labels may add {said}" in line for line in conclusions(wide))
    inside = replace(look(run), gain=Estimate(0.1, -0.1, 0.2))
    assert any("+10.0 points of accuracy (-10.0 to +20.0): too uncertain" in line for line in conclusions(inside))
