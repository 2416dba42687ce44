"""Features instead of images, against the same numbers in plain arrays."""

import csv
import re

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.preprocessing import StandardScaler

from msal_lightning import ActiveLoop, LoopOptions, MSALClassifier, RunDirectory
from msal_lightning.cli.main import main
from msal_lightning.data.features.feature_statistics import find_statistics
from msal_lightning.data.fingerprint import first_change, take_fingerprint
from msal_lightning.datasets import Embeddings
from msal_lightning.errors import DataError
from msal_lightning.models.backbones import MLP
from msal_lightning.runs.records import read_records
from msal_lightning.strategies import BADGE, MSALD, KCenter, Margin

DIGITS = load_digits()
X, Y = DIGITS.data.astype(np.float16), DIGITS.target


def npy(folder, *parts):
    for k, part in enumerate(parts):
        np.save(folder / f"features-{k:03d}.npy", part)


def parquet(folder, *parts):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet as files

    for k, part in enumerate(parts):
        column = pa.FixedSizeListArray.from_arrays(pa.array(part.ravel()), part.shape[1])
        files.write_table(pa.table({"features": column}), folder / f"features-{k:03d}.parquet", row_group_size=300)


def hdf5(folder, *parts):
    h5py = pytest.importorskip("h5py")
    for k, part in enumerate(parts):
        with h5py.File(folder / f"features-{k:03d}.h5", "w") as file:
            file["features"] = part


@pytest.fixture
def folder(tmp_path):
    """The digits in two files, all labels known."""
    root = tmp_path / "features"
    root.mkdir()
    npy(root, X[:1000], X[1000:])
    np.save(root / "labels.npy", Y)
    return root


def ready(root, **options):
    data = Embeddings(str(root), **options)
    data.setup()
    data.reset(0)
    return data


@pytest.mark.parametrize("write", [npy, parquet, hdf5])
def test_rows_of_all_formats_are_those_that_were_written(tmp_path, write):
    write(tmp_path, X[:700], X[700:701], X[701:])
    np.save(tmp_path / "labels.npy", Y)
    data = ready(tmp_path, standardize=False)
    learn, test = data.images, data.test.image
    assert learn.shape[0] + test.shape[0] == len(X)
    everything = torch.cat([learn[torch.arange(learn.shape[0])], test[torch.arange(test.shape[0])]])
    assert everything.dtype == torch.float16
    assert sorted(map(tuple, everything.flatten(1).tolist())) == sorted(map(tuple, X.tolist()))
    index = torch.tensor([900, 3, 699, 3, 700, 1200])  # in any order, and twice
    assert torch.equal(learn[index], torch.stack([learn[torch.tensor([i])][0] for i in index.tolist()]))
    assert learn[index[:0]].shape == (0, 64, 1, 1)


def test_the_test_part_has_a_share_of_each_class_and_no_row_is_in_both(folder):
    data = ready(folder)
    counts = np.bincount(data.test.label.numpy(), minlength=10)
    assert counts.tolist() == [max(1, round(0.2 * n)) for n in np.bincount(Y)]
    other = ready(folder, test_seed=1)
    assert not torch.equal(data.test.image[torch.arange(9)], other.test.image[torch.arange(9)])
    assert torch.equal(data.test.label, ready(folder).test.label)


def test_features_are_standardized_as_scikit_learn_does_it(folder):
    data = ready(folder)
    learn = data.images[torch.arange(data.images.shape[0])].flatten(1).float().numpy()
    expected = StandardScaler().fit_transform(learn.astype(np.float64))
    batch = next(iter(data.predict_dataloader()))
    got = data.scale(batch).image.flatten(1)
    assert got.dtype == torch.float32
    np.testing.assert_allclose(got, expected[: len(got)], atol=1e-5)


def test_statistics_of_far_values_keep_their_digits(tmp_path):
    x = (1000 + np.random.default_rng(0).standard_normal((20_000, 3)) * [0.1, 1, 0]).astype(np.float32)
    npy(tmp_path, x)
    np.save(tmp_path / "labels.npy", np.arange(20_000) % 2)
    data = Embeddings(str(tmp_path), standardize=False)
    data.setup()
    mean, std = find_statistics(data.images)
    kept = data.images[torch.arange(data.images.shape[0])].flatten(1).double()
    torch.testing.assert_close(mean.double(), kept.mean(dim=0), rtol=1e-6, atol=0)
    torch.testing.assert_close(std.double()[:2], kept.std(dim=0, correction=0)[:2], rtol=1e-3, atol=0)
    assert std[2] == 1  # constant


FIT = [
    "--config", "embeddings", "--trainer.max_steps", "20", "--loop.query_budget", "200", "--trainer.accelerator", "cpu",
]  # fmt: skip


def test_a_run_resumes_and_detects_other_features(folder, tmp_path, capsys):
    fit = ["fit", *FIT, "--data.root", str(folder), "--run_dir", str(tmp_path / "run")]
    assert main(fit) == 0
    first = read_records(tmp_path / "run")
    assert [record.num_labeled for record in first] == [100, 200, 300]
    assert first[-1].accuracy > 0.8
    assert first[0].data["train"] + first[0].data["test"] == len(X)
    (tmp_path / "run" / "rounds" / "002.json").unlink()
    (tmp_path / "run" / "checkpoints" / "round-002.ckpt").unlink()
    assert main(fit) == 0
    again = read_records(tmp_path / "run")
    assert (again[2].metrics, again[1].queried) == (first[2].metrics, first[1].queried)
    (tmp_path / "run" / "rounds" / "002.json").unlink()
    changed = X[:1000].copy()
    changed[500, 3] += 1
    np.save(folder / "features-000.npy", changed)
    capsys.readouterr()
    assert main(fit) == 2
    assert "'features-000.npy' has other content" in capsys.readouterr().err
    np.save(folder / "features-000.npy", X[:1000])
    np.save(folder / "labels.npy", (Y + 1) % 10)
    assert main(fit) == 2
    assert "the label of 'features-000.npy' is another one" in capsys.readouterr().err


FURTHER = ("Entropy", "BADGE", "KMeans", "ProbCover")


@pytest.mark.parametrize(
    "query", ["KCenter", "TypiClust", "BALD", *(pytest.param(query, marks=pytest.mark.slow) for query in FURTHER)]
)
def test_strategies_select_from_features(folder, tmp_path, query):
    more = ["--query", query, "--model.head", "linear", "--loop.query_budget", "100", "--trainer.max_steps", "5"]
    fit = ["fit", *FIT, *more, "--data.root", str(folder), "--run_dir", str(tmp_path / "run")]
    assert main(fit) == 0
    assert len({*read_records(tmp_path / "run")[0].queried.index}) == 100


def test_a_person_sees_the_images_behind_the_rows(tmp_path, capsys):
    root = tmp_path / "features"
    (root / "images").mkdir(parents=True)
    npy(root, X[:60])
    for k in range(60):
        Image.fromarray((DIGITS.images[k] * 15).astype(np.uint8)).save(root / "images" / f"{k}.png")
    with (root / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "split"])
        for k in range(60):
            is_test = k >= 40
            label = f"digit {Y[k]}" if is_test or k < 20 else ""
            writer.writerow([f"images/{k}.png", label, "test" if is_test else "train"])
    data = ready(root)
    assert data.partly_labeled
    assert data.class_names[:2] == ("digit 0", "digit 1")
    assert data.pictures(torch.tensor([3])).shape == (1, 3, 224, 224)
    fit = ["fit", *FIT, "--data.root", str(root), "--run_dir", str(tmp_path / "run"), "--oracle", "Files"]
    more = [
        "--loop.initial_size",
        "20",
        "--loop.query_size",
        "5",
        "--loop.query_budget",
        "5",
        "--trainer.max_steps",
        "5",
    ]
    assert main([*fit, *more]) == 0
    capsys.readouterr()
    page = next((tmp_path / "run" / "queries").rglob("*.html")).read_text()
    assert len(re.findall(r"images/\d+\.png", page)) >= 5


def test_images_that_are_elsewhere_are_asked_for(folder, tmp_path, capsys):
    (folder / "labels.csv").write_text("label,path\n" + "".join(f",{k}.png\n" for k in range(len(Y))))
    names = ["--data.classes", "[a, b]", "--loop.held_out", "10", "--oracle", "Files"]
    assert main(["fit", *FIT, "--data.root", str(folder), "--run_dir", str(tmp_path / "run"), *names]) == 2
    assert re.search(r"expected the image '.*\d+\.png', found .* set data.image_root", capsys.readouterr().err)


@pytest.mark.parametrize("split", [False, True])
def test_rows_marked_as_useless_are_left_out_as_in_a_folder_of_images(folder, capsys, split):
    labels = [f"class {y}" for y in Y]
    labels[3], labels[700], labels[1500] = "skip", "unsure", "skip"
    parts = ["test" if k % 5 == 0 else "train" for k in range(len(Y))]  # 700 and 1500 are in the test part
    rows = zip(labels, parts, strict=True)
    lines = [f"{label},{k}.png" + (f",{part}" if split else "") for k, (label, part) in enumerate(rows)]
    head = "label,path,split" if split else "label,path"
    (folder / "labels.csv").write_text("\n".join([head, *lines]))
    data = ready(folder, standardize=False)
    assert "3 of 1,797 rows are left out" in capsys.readouterr().out
    assert data.class_names == tuple(f"class {c}" for c in range(10))
    assert not data.partly_labeled
    assert data.images.shape[0] + len(data.test.label) == len(Y) - 3
    everything = torch.arange(data.images.shape[0])
    numbers = [int(path.removesuffix(".png")) for path in data.paths(everything)]
    assert not {3, 700, 1500} & {*numbers}
    assert data.images[everything].flatten(1).tolist() == X[numbers].tolist()  # paths belong to their rows
    if split:
        kept = [k for k, part in enumerate(parts) if part == "test" and k not in (700, 1500)]
        assert data.test.image[torch.arange(len(kept))].flatten(1).tolist() == X[kept].tolist()
        assert data.test.label.tolist() == Y[kept].tolist()


def test_images_outside_of_their_folder_are_not_shown(folder):
    (folder / "labels.csv").write_text("label,path\n" + "".join(f"{y},../secret.png\n" for y in Y))
    with pytest.raises(DataError, match=r"stay below data.image_root .* got '\.\./secret.png'"):
        ready(folder).pictures(torch.tensor([3]))


def test_labels_of_the_test_part_are_compared_too(folder):
    before = take_fingerprint(ready(folder))
    data = ready(folder)
    data.test.label[0] = (data.test.label[0] + 1) % 10
    assert first_change(before, data) == "the label of test image 0 is another one"
    assert first_change(before, ready(folder)) is None


def test_rows_without_images_are_shown_as_grey_values(folder):
    shown = ready(folder).pictures(torch.tensor([0, 5]))
    assert (shown.shape, shown.dtype) == ((2, 1, 8, 8), torch.uint8)


def unreadable(folder):
    (folder / "features-000.npy").write_bytes(b"nothing")


def of_python(folder):
    np.save(folder / "features-000.npy", np.array([{}]), allow_pickle=True)


def labels(values):
    return lambda folder: np.save(folder / "labels.npy", values)


def table(text):
    return lambda folder: (folder / "labels.csv").write_text(text)


BAD = {
    "another width": (lambda f: npy(f, X[:1000], X[1000:, :5]), "expected 64 features of float16 in .*001.npy"),
    "another type": (lambda f: npy(f, X[:1000], X[1000:].astype(np.float32)), "other files, got 64 of float32"),
    "float64": (lambda f: npy(f, DIGITS.data[:1000], X[1000:]), "float16 or float32, got .1000, 64. float64"),
    "empty file": (lambda f: npy(f, X[:1000], X[:0]), "expected features in .*001.npy.* remove the empty file"),
    "no rows of numbers": (lambda f: npy(f, X[:1000, 0], X), "rows of features"),
    "damaged": (unreadable, "cannot read the features in"),
    "pickle": (of_python, "cannot read the features in"),
    "two kinds": (lambda f: (f / "features.h5").write_bytes(b""), "with files of one kind"),
    "no features": (lambda f: [file.unlink() for file in f.glob("features*")], "found none: set it to the folder"),
    "labels of another length": (labels(Y[:-1]), "one label for each of the 1,797 rows .* got 1,796"),
    "one-hot labels": (labels(np.eye(10)[Y]), "argmax"),
    "labels below -1": (labels(Y - 3), "or -1 where unknown, got -3"),
    "no label column": (table("name\nx\n"), "expected the column label"),
    "a split of another name": (table("label,split\na,val\n"), "line 2: split 'val' is neither train nor test"),
    "more fields than columns": (table("label\na,b\n"), "line 2: it has more fields than the first line"),
    "an open quote": (table('label\n"a\n'), "cannot read .*labels.csv"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence(folder, case):
    damage, message = BAD[case]
    damage(folder)
    with pytest.raises(DataError, match=message):
        ready(folder)


def test_rows_that_are_not_finite_are_named(folder):
    changed = X[:1000].copy()
    changed[[17, 41], 3] = np.nan, np.inf
    np.save(folder / "features-000.npy", changed)
    splits = [f"{y},{'train' if k % 2 else 'test'}\n" for k, y in enumerate(Y)]
    (folder / "labels.csv").write_text("label,split\n" + "".join(splits))
    with pytest.raises(DataError, match=r"NaN or infinity in row 17, 41 \(counted from 0 over all files\)"):
        ready(folder)


def test_features_without_labels_ask_for_an_annotator(folder, tmp_path, capsys):
    (folder / "labels.npy").unlink()
    assert main(["fit", *FIT, "--data.root", str(folder), "--run_dir", str(tmp_path / "run")]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


class InMemory(Embeddings):
    """The same rows as one tensor, as images are."""

    def setup(self, stage=None):
        super().setup(stage)
        if not isinstance(self.images, torch.Tensor):
            self.images = self.images[torch.arange(self.images.shape[0])].clone()


@pytest.mark.parametrize(
    "strategy", [MSALD, KCenter, *(pytest.param(strategy, marks=pytest.mark.slow) for strategy in (Margin, BADGE))]
)
def test_picks_are_those_of_rows_in_memory(folder, tmp_path, strategy):
    def picks(kind):
        loop = ActiveLoop(
            lambda: MSALClassifier(10, 64, MLP),
            lambda **settings: Trainer(max_steps=20, max_epochs=-1, accelerator="cpu", devices=1, **settings),
            kind(str(folder), eval_batch_size=100),
            strategy(),
            RunDirectory(tmp_path / kind.__name__),
            LoopOptions(100, 50, 50),
        )
        return [(record.queried.index, record.metrics) for record in loop.run()]

    assert picks(Embeddings) == picks(InMemory)
