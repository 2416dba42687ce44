"""``loop.held_out``: labels to test on, where the data has no test set."""

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image

from msal_lightning.cli.main import main
from msal_lightning.data.places import Place
from msal_lightning.datasets.image_folder import ImageFolder
from msal_lightning.models.classifier import MSALClassifier
from msal_lightning.runs.records import read_records

ASKED = ["--oracle", "Files"]
N = 10


def rows(file):
    with file.open(newline="") as text:
        return list(csv.DictReader(text))


def parts(ledger):
    """Paths by the ledger's column round."""
    found = {}
    for row in rows(ledger):
        found.setdefault(int(row["round"]), []).append(row["path"])
    return found


def without_seconds(run):
    records = [json.loads(file.read_text()) for file in sorted(run.glob("rounds/[0-9][0-9][0-9].json"))]
    return [{k: v for k, v in record.items() if k not in ("seconds", "digest")} for record in records]


@pytest.fixture
def argv(options):
    """``argv(*more)``: of a run on images of which nobody tells some to be the test set."""
    classes = str([str(c) for c in range(10)])
    fixed = ["--data.unlabeled", "true", "--data.test_root", "null", "--data.classes", classes]
    return lambda *more: options(*fixed, "--loop.held_out", str(N), *more)


@pytest.fixture
def simulated(photos, argv, tmp_path):
    """A finished run whose labels were known."""
    command = argv("--data.csv", str(photos[0] / "labels.csv"), "--run_dir", str(tmp_path / "known"))
    assert main(command) == 0
    return command, tmp_path / "known"


def test_a_person_ends_where_known_labels_do(argv, simulated, person, photos, tmp_path, until_done):
    _, known = simulated
    run, truth = tmp_path / "asked", photos[1]
    until_done(argv(*ASKED), run, person)
    assert (run / "ledger.csv").read_bytes() == (known / "ledger.csv").read_bytes()
    records = read_records(run)
    assert [r.metrics for r in records] == [r.metrics for r in read_records(known)]
    queried = parts(run / "ledger.csv")
    assert {round: len(paths) for round, paths in queried.items()} == {Place.HELD_OUT: N, 0: 30 - N, 1: 20, 2: 20}
    assert len({path for paths in queried.values() for path in paths}) == 70  # the budget, each image once
    assert [(r.num_labeled, r.num_pool, r.num_test) for r in records] == [(30, 210, N), (50, 190, N), (70, 170, N)]
    assert [row["label"] for row in rows(run / "ledger.csv")] == [
        truth[row["path"]] for row in rows(run / "ledger.csv")
    ]
    request = [row["path"] for row in rows(run / "queries/initial.csv")]  # one question for both
    assert request == queried[Place.HELD_OUT] + queried[0]
    assert records[0].held_out.path == queried[Place.HELD_OUT]
    assert [r.held_out for r in records[1:]] == [None, None]


def test_the_accuracy_is_that_on_the_held_out_images(argv, photos, tmp_path):
    run, (folder, truth) = tmp_path / "run", photos
    more = ["--trainer.max_epochs", "15", "--loop.initial_size", "80", "--loop.held_out", "40"]
    assert main(argv("--data.csv", str(folder / "labels.csv"), *more, "--run_dir", str(run))) == 0
    model, right = load(run), []
    for path in parts(run / "ledger.csv")[Place.HELD_OUT]:
        pixels = np.array(Image.open(folder / "pool" / path), dtype=np.float32) / 255
        with torch.no_grad():
            logits = model(torch.tensor((pixels - 0.5) / 0.25)[None, None])  # what grey images are scaled by
        right.append(int(logits.argmax()) == int(truth[path]))
    accuracy = read_records(run)[-1].accuracy
    assert accuracy == pytest.approx(sum(right) / 40)
    assert accuracy > 0.3  # says something


def load(run):
    """The last model, built from the run's own configuration."""
    from msal_lightning.config.parser import build_parser, instantiate, parse

    parser = build_parser()
    config = parse(parser, ["--config", str(run / "config.yaml")])
    model = MSALClassifier(10, 1, **instantiate(parser, config, "model").model)
    model.load_state_dict(torch.load(run / "checkpoints/round-002.ckpt")["state_dict"])
    return model.eval()


def test_known_labels_are_held_out_first(argv, photos, person, tmp_path, until_done):
    folder, truth = photos
    known = [*sorted(truth.items())][:15]
    with (folder / "some.csv").open("w", newline="") as out:
        csv.writer(out).writerows([("path", "label"), *known])
    run = tmp_path / "run"
    until_done(argv(*ASKED, "--data.csv", str(folder / "some.csv")), run, person)
    queried = parts(run / "ledger.csv")
    assert len(rows(run / "queries/initial.csv")) == 15
    assert {*queried[Place.HELD_OUT]} < {path for path, _ in known}
    assert {path for path, _ in known} < {*queried[Place.HELD_OUT], *queried[0]}


def test_skipped_images_are_replaced(argv, person, tmp_path, until_done):
    run, gone = tmp_path / "run", []

    def answer(file):
        gone[:] = gone or [rows(file)[0]["path"], rows(file)[N]["path"]]
        person(file, dict.fromkeys(gone, "skip"))

    until_done(argv(*ASKED), run, answer)
    first = [row["path"] for row in rows(run / "queries/initial.csv")]
    queried = parts(run / "ledger.csv")
    assert queried[Place.HELD_OUT] == first[1:N] + first[N + 1 : N + 2]
    assert [len(queried[k]) for k in (Place.HELD_OUT, 0, 1, 2)] == [N, 30 - N, 20, 20]
    assert read_records(run)[0].skipped.reason == ["skip", "skip"]
    assert not {*gone} & {path for paths in queried.values() for path in paths}


def test_all_skipped_is_a_sentence(argv, photos, person, tmp_path, capsys):
    folder, truth = photos
    for path in sorted(truth)[72:]:
        (folder / "pool" / path).unlink()
    run, command = tmp_path / "run", argv(*ASKED)
    for _ in range(4):
        code = main([*command, "--run_dir", str(run)])
        for file in (run / "queries").glob("*.csv"):
            person(file, dict.fromkeys(sorted(truth)[:64], "skip"))
    assert code == 2
    assert "more labels in the initial set than loop.held_out (10), got 8" in capsys.readouterr().err


def test_replay_tests_on_the_same_images(simulated, argv, person, tmp_path, until_done):
    for name, run in (("a", simulated[1]), ("b", tmp_path / "asked")):
        if name == "b":
            until_done(argv(*ASKED), run, person)
        assert main(["replay", "--run", str(run), "--run_dir", str(tmp_path / name)]) == 0
        assert (tmp_path / name / "ledger.csv").read_bytes() == (run / "ledger.csv").read_bytes()
        assert [r.metrics for r in read_records(tmp_path / name)] == [r.metrics for r in read_records(run)]


def test_replay_with_a_test_set_learns_from_none_of_them(simulated, photos, tmp_path):
    command = ["replay", "--run", str(simulated[1]), "--data.test_root", str(photos[0] / "test")]
    assert main([*command, "--run_dir", str(tmp_path / "again")]) == 0
    records = read_records(tmp_path / "again")
    assert [(r.num_labeled, r.num_test) for r in records] == [(30, 60), (50, 60), (70, 60)]
    assert (tmp_path / "again/ledger.csv").read_bytes() == (simulated[1] / "ledger.csv").read_bytes()


@pytest.mark.slow
def test_two_processes_test_on_all_of_it(simulated, tmp_path, commands):
    command, known = simulated
    two = [*command[:-1], str(tmp_path / "two"), "--trainer.devices", "2", "--trainer.strategy", "ddp"]
    done = commands.run("-m", "msal_lightning", *two, cwd=tmp_path, ranks=2)
    assert done.returncode == 0, done.stderr
    records = read_records(tmp_path / "two")
    assert records[0].held_out == read_records(known)[0].held_out
    assert [(r.num_labeled, r.num_test) for r in records] == [(30, N), (50, N), (70, N)]
    assert all((r.accuracy * N) % 1 == pytest.approx(0, abs=1e-6) for r in records)  # tenths: each image once


REFUSED = {
    "beside a test set": (["--data.test_root", "TEST"], "to be 0 for data with a test set, got 10 beside 60"),
    "nothing to train on": (["--loop.held_out", "30"], "loop.held_out to be 1 to 29, less than loop.initial_size"),
    "negative": (["--loop.held_out", "-1"], "loop.held_out to be 1 to 29"),
    "no test set": (["--loop.held_out", "0"], "or set loop.held_out to the number of labels to test on"),
    "more processes than images": (
        ["--loop.held_out", "1", "--trainer.devices", "2"],
        "trainer.devices to be at most 1, the number of test images, got 2",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_is_refused_before_anything_is_written(kind, argv, photos, tmp_path, capsys):
    more, said = REFUSED[kind]
    more = [str(photos[0] / "test") if word == "TEST" else word for word in more]
    assert main(argv(*ASKED, *more, "--run_dir", str(tmp_path / "run"))) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_classes_that_nobody_knows_yet_need_a_test_set_at_once(options, tmp_path, capsys):
    more = ["--data.unlabeled", "true", "--data.test_root", "null", "--oracle.allow_new_classes", "true"]
    assert main(options(*ASKED, *more, "--run_dir", str(tmp_path / "run"))) == 2
    assert "or set loop.held_out" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()  # no person has labeled anything in vain


def test_a_replay_without_anything_to_test_on(options, photos, tmp_path, capsys):
    known = ["--data.unlabeled", "true", "--data.csv", str(photos[0] / "labels.csv")]
    assert main(options(*known, "--loop.query_budget", "0", "--run_dir", str(tmp_path / "run"))) == 0
    assert main(["replay", "--run", str(tmp_path / "run"), "--data.test_root", "null"]) == 2
    assert "held no labels out: set data.test_root" in capsys.readouterr().err


def test_runs_without_it_are_what_they_were(options, photos, tmp_path):
    run = tmp_path / "run"
    more = ["--data.csv", str(photos[0] / "labels.csv"), "--loop.query_budget", "0", "--run_dir", str(run)]
    assert main(options("--data.unlabeled", "true", *more)) == 0
    assert "held_out" not in (run / "config.yaml").read_text()
    assert "held_out" not in json.loads((run / "rounds/000.json").read_text())
    assert read_records(run)[0].held_out is None


def test_status_and_report(simulated, tmp_path, capsys):
    _, run = simulated
    capsys.readouterr()
    assert main(["status", str(run)]) == 0
    assert "70 of 70 labels (20 initial, 40 queried, 10 held out to test on)" in " ".join(
        capsys.readouterr().out.split()
    )
    assert main(["status", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["held_out"] == N
    assert main(["report", str(run), "--out", str(tmp_path / "report")]) == 0


def test_plan_counts_what_is_trained_on(argv, photos, capsys):
    assert main(argv("--data.csv", str(photos[0] / "labels.csv"), "--plan")) == 0
    said = " ".join(capsys.readouterr().out.split())
    # 20, 40, 60 images in batches of 32, two epochs each: 1 + 2 + 2 steps; 3 tests of 10
    assert "3 fits, 10 optimizer steps" in said
    assert "30 in 3 tests" in said


class TestData:
    @pytest.fixture
    def data(self, photos):
        folder, _ = photos
        data = ImageFolder(
            str(folder / "pool"), csv=str(folder / "labels.csv"), unlabeled=True, size=8, channels=1, batch_size=16
        )
        data.setup()
        data.reset(0)
        return data

    def test_held_out_images_are_in_no_other_part(self, data):
        initial = data.draw_initial(30)
        assert data.num_test == 0
        data.split.hold_out(initial[:N])
        assert data.held_out.tolist() == sorted(initial[:N].tolist())
        assert data.num_test == N
        trained = torch.cat([batch.index for batch in data.train_dataloader()])
        assert sorted(trained.tolist()) == sorted(initial[N:].tolist())
        assert not {*data.pool.tolist()} & {*initial.tolist()}
        tested = [*data.test_dataloader()]
        index, label = (torch.cat([getattr(batch, part) for batch in tested]) for part in ("index", "label"))
        assert index.tolist() == data.held_out.tolist()
        assert label.tolist() == data.labels[data.held_out].tolist()
        assert torch.equal(torch.cat([batch.image for batch in tested]), data.images[data.held_out])
        with pytest.raises(ValueError, match="not in the pool"):
            data.label(initial[:1])

    def test_only_the_initial_set_can_be_held_out(self, data):
        initial = data.draw_initial(30)
        queried = data.pool[:3]
        data.label(queried)
        before = data.labeled_at.clone()
        for wrong in (queried, data.pool[:1], torch.cat([initial[:1], queried])):
            with pytest.raises(ValueError, match="not in the initial set"):
                data.split.hold_out(wrong)
            assert torch.equal(data.labeled_at, before)

    def test_a_checkpoint_has_it(self, data):
        data.split.hold_out(data.draw_initial(30)[:N])
        state, held_out, digest = data.state_dict(), data.held_out.clone(), data.digest()
        data.reset(1)
        assert data.num_test == 0
        assert data.digest() != digest
        data.load_state_dict(state)
        assert torch.equal(data.held_out, held_out)
        assert (data.digest(), data.hidden_labels.num_revealed) == (digest, 30)

    def test_it_depends_on_the_seed(self, data):
        drawn = []
        for seed in (0, 1, 0):
            data.reset(seed)
            data.split.hold_out(data.draw_initial(30)[:N])
            drawn.append(data.held_out.tolist())
        assert drawn[0] == drawn[2] != drawn[1]


def test_a_strategy_for_the_initial_set_leaves_the_held_out_labels_to_chance(
    argv, simulated, person, photos, tmp_path, until_done
):
    """Also with a person, who skips some images of both kinds."""
    folder = tmp_path / "features"
    folder.mkdir()
    names = sorted(photos[1])
    np.save(folder / "features.npy", np.random.default_rng(0).standard_normal((len(names), 6), dtype=np.float32))
    (folder / "labels.csv").write_text("\n".join(["path,label", *(f"{name}," for name in names)]) + "\n")
    initial = ["--loop.initial", "KCenter", "--loop.initial_features", str(folder)]
    known, asked = tmp_path / "chosen", tmp_path / "asked"
    assert main(argv("--data.csv", str(photos[0] / "labels.csv"), *initial, "--run_dir", str(known))) == 0
    until_done(argv(*ASKED, *initial), asked, person)
    assert (asked / "ledger.csv").read_bytes() == (known / "ledger.csv").read_bytes()
    drawn, chosen = read_records(simulated[1])[0], read_records(known)[0]
    assert chosen.held_out.index == drawn.held_out.index
    assert chosen.initial.index != drawn.initial.index

    skipping, skipped = tmp_path / "skipping", [chosen.held_out.path[0], chosen.initial.path[0]]
    until_done(argv(*ASKED, *initial), skipping, lambda file: person(file, dict.fromkeys(skipped, "skip")))
    left = read_records(skipping)[0]
    assert left.held_out.index[: N - 1] == chosen.held_out.index[1:]
    assert not {*left.held_out.path} & {*chosen.initial.path}  # no chosen image is tested on
