"""The map of embeddings, and what is kept for it, on a real run of a few seconds."""

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer

from msal_lightning import ActiveLoop, LoopOptions, MSALClassifier, RunDirectory
from msal_lightning.analysis.figures.tsne import Panel, map_rounds, small_multiples
from msal_lightning.cli.main import main
from msal_lightning.datasets import Digits
from msal_lightning.errors import UserError
from msal_lightning.models.backbones import SmallCNN
from msal_lightning.runs.embeddings import Embeddings, read_embeddings
from msal_lightning.runs.reading import read_runs
from msal_lightning.runs.records import read_records
from msal_lightning.strategies import Entropy, Random

SIZES = {"initial_size": 40, "query_size": 20, "query_budget": 40}
N = 60


def make_loop(path, strategy, **options):
    return ActiveLoop(
        lambda: MSALClassifier(10, 1, lambda channels: SmallCNN(channels, width=4)),
        lambda **settings: Trainer(max_epochs=2, accelerator="cpu", **settings),
        Digits(batch_size=32),
        strategy,
        RunDirectory(path),
        LoopOptions(**SIZES, **options),
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Entropy and Random with embeddings kept, and Entropy without."""
    folder = tmp_path_factory.mktemp("runs")
    make_loop(folder / "kept" / "entropy", Entropy(), keep_embeddings=N, keep_checkpoints="all").run()
    make_loop(folder / "kept" / "random", Random(), keep_embeddings=N).run()
    make_loop(folder / "plain", Entropy()).run()
    return folder


# ---------------------------------------------------------------- what is kept


def test_keeping_changes_no_result(runs):
    kept, plain = runs / "kept" / "entropy", runs / "plain"
    assert (kept / "ledger.csv").read_bytes() == (plain / "ledger.csv").read_bytes()
    assert [r.metrics for r in read_records(kept)] == [r.metrics for r in read_records(plain)]
    assert not (plain / "embeddings").exists()


@pytest.mark.parametrize("round", [0, 1, 2])
def test_what_is_kept_is_what_the_saved_model_gives(runs, round):
    folder = runs / "kept" / "entropy"
    kept = read_embeddings(folder, round)
    assert (kept.index.dtype, kept.embeddings.dtype) == (np.int64, np.float16)
    model = MSALClassifier(10, 1, lambda channels: SmallCNN(channels, width=4))
    file = folder / "checkpoints" / f"round-{round:03d}.ckpt"
    model.load_state_dict(torch.load(file, weights_only=True)["state_dict"])
    model.eval()
    data = Digits()
    data.setup()
    with torch.inference_mode():
        images = (data.images[torch.from_numpy(kept.index)] / 255 - data.mean[0]) / data.std[0]
        embeddings, logits = model.embed(images), model(images)
    np.testing.assert_allclose(kept.embeddings, embeddings, rtol=2e-3, atol=1e-4)  # 11 bits
    assert (kept.predicted == logits.argmax(1).numpy()).mean() > 0.98  # but for ties by rounding


@pytest.mark.parametrize("name", ["entropy", "random"])
def test_images_of_the_pool_stay_and_all_that_was_bought_is_there(runs, name):
    folder = runs / "kept" / name
    records = read_records(folder)
    kept = [set(read_embeddings(folder, record.round).index.tolist()) for record in records]
    gone = set(records[0].initial.index)
    for record, index in zip(records, kept, strict=True):
        queried = set(record.queried.index)
        assert not index & gone  # labeled images are not in the pool
        assert queried <= index
        assert N <= len(index) <= N + len(queried)
        gone |= queried
    for before, after, record in zip(kept, kept[1:], records, strict=False):
        sample = before - set(record.queried.index)
        assert len(sample - after) == 0


def test_a_leftover_of_an_unfinished_round_is_overwritten_and_not_drawn(runs, tmp_path):
    run = tmp_path / "run"
    make_loop(run, Entropy(), keep_embeddings=N).run()
    before = [read_embeddings(run, k).embeddings for k in range(3)]
    (run / "rounds" / "002.json").unlink()
    (run / "embeddings" / "002.npz").write_bytes(b"torn")
    make_loop(run, Entropy(), keep_embeddings=N).run()
    np.testing.assert_array_equal(read_embeddings(run, 2).embeddings, before[2])
    np.testing.assert_array_equal(before[2], read_embeddings(runs / "kept" / "entropy", 2).embeddings)


def test_a_run_may_go_on_with_it_switched_on(runs, tmp_path, capsys):
    run = tmp_path / "run"
    make_loop(run, Entropy()).run()
    (run / "rounds" / "002.json").unlink()
    make_loop(run, Entropy(), keep_embeddings=N).run()
    assert [read_embeddings(run, k) is None for k in range(3)] == [True, True, False]
    assert main(["figure", "tsne", str(run), "--rounds", "1", "--out", str(tmp_path / "a.png")]) == 2
    assert "--rounds among 2, which all runs have, got 1" in capsys.readouterr().err


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "embeddings").mkdir()
    (tmp_path / "embeddings" / "000.npz").write_bytes(b"torn")
    with pytest.raises(UserError, match=r"000\.npz' are damaged: delete the file"):
        read_embeddings(tmp_path, 0)


def test_a_negative_number_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"loop\.keep_embeddings to be at least 0, got -1"):
        make_loop(tmp_path / "run", Entropy(), keep_embeddings=-1)


# ---------------------------------------------------------------- the figure


def test_stars_are_what_was_bought(runs):
    (run,) = read_runs([runs / "kept" / "entropy"])
    kept = {k: read_embeddings(run.folder, k) for k in range(3)}
    panels = map_rounds(run, kept, points=60)
    for k, panel in enumerate(panels):
        queried = run.records[k].queried
        assert set(panel.index[panel.queried].tolist()) == set(queried.index)
        assert (~panel.queried).sum() == 20
        labels = dict(zip(panel.index.tolist(), panel.label.tolist(), strict=True))
        assert [labels[index] for index in queried.index] == queried.label
        assert set(panel.label[~panel.queried].tolist()) == {-1}
        assert np.isfinite(panel.place).all()
    again = map_rounds(run, kept, points=60)
    np.testing.assert_array_equal(panels[0].place, again[0].place)
    dots, stars = small_multiples({"Entropy": panels}).axes[0].collections
    np.testing.assert_allclose(dots.get_offsets(), panels[0].place[~panels[0].queried])
    np.testing.assert_allclose(stars.get_offsets(), panels[0].place[panels[0].queried])


def test_rounds_of_a_run_share_their_scale_and_rows_do_not():
    rng = np.random.default_rng(0)

    def panel(k, scale):
        zero = np.zeros(8, dtype=np.int64)
        return Panel(k, 10, np.arange(8), scale * rng.normal(size=(8, 2)), zero, zero > 0, zero - 1)

    rows = {"a": [panel(0, 1), panel(1, 9)], "b": [panel(0, 2), panel(1, 1)]}
    axes = np.array(small_multiples(rows).axes).reshape(2, 2)
    for row, panels in zip(axes, rows.values(), strict=True):
        assert row[0].get_xlim() == row[1].get_xlim()
        assert row[0].get_ylim() == row[1].get_ylim()
        places = np.concatenate([panel.place for panel in panels])
        for limits, column in ((row[0].get_xlim(), places[:, 0]), (row[0].get_ylim(), places[:, 1])):
            assert limits[0] < column.min()
            assert column.max() < limits[1]
    assert axes[0, 0].get_xlim() != axes[1, 0].get_xlim()


def test_a_round_that_is_only_turned_lies_where_it_lay(tmp_path, write_run):
    rng = np.random.default_rng(0)
    write_run(tmp_path / "run", "Entropy", 0, [0.5, 0.6])
    (run,) = read_runs([tmp_path / "run"])
    vectors = np.concatenate([rng.normal(3 * c, 1, (30, 5)) for c in range(3)])
    turn, _ = np.linalg.qr(rng.normal(size=(5, 5)))
    index, predicted = np.arange(90), np.repeat(np.arange(3), 30)
    kept = {k: Embeddings(index, v, predicted) for k, v in enumerate((vectors, 7 * vectors @ turn + 2))}
    first, second = map_rounds(run, kept, points=180)
    spread = np.ptp(first.place, axis=0).max()
    assert np.linalg.norm(first.place - second.place, axis=1).max() < 0.1 * spread


def test_command_draws_a_row_a_method_and_names_what_is_left_out(runs, tmp_path, capsys):
    out = tmp_path / "map.svg"
    assert main(["figure", "tsne", str(runs / "kept"), "--points", "60", "--out", str(out)]) == 0
    assert f"rounds 0, 1 of {runs / 'kept' / 'entropy'}, {runs / 'kept' / 'random'} drawn" in capsys.readouterr().out
    text = out.read_text()
    assert all(word in text for word in ("Entropy(MSAL)", "Random, prototype head", "round 1, 60 labels"))


def test_runs_without_embeddings_are_a_mistake(runs, tmp_path, capsys):
    assert main(["figure", "tsne", str(runs / "plain"), "--out", str(tmp_path / "map.png")]) == 2
    assert "run `fit` with --loop.keep_embeddings 1000" in capsys.readouterr().err
