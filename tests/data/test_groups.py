"""Groups of images: found, kept on one side of every split, and named where a given test set shares them."""

import csv
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.model_selection import StratifiedGroupKFold

from msal_lightning.cli.main import main
from msal_lightning.data.fingerprint import first_change, read_fingerprint, take_fingerprint, to_bytes
from msal_lightning.data.group_split import groups_to_test, hold_out_groups, is_validation_group
from msal_lightning.data.groups import number_groups
from msal_lightning.data.image_order import ImageOrder
from msal_lightning.datasets import Embeddings, ImageFolder
from msal_lightning.errors import DataError


def make_photos(root, sites=6, each=6, flat=False):
    """Two classes; each site has a burst of each."""
    for site in range(sites):
        for k in range(each):
            folder = root if flat else root / ("cat", "dog")[k % 2]
            folder.mkdir(parents=True, exist_ok=True)
            Image.new("L", (8, 8), (40 * (k % 2) + 5 * site) % 256).save(folder / f"site{site}-{k}.png")
    return root


def sites_of(data, index):
    return {path.split("/")[-1].split("-")[0] for path in data.paths(index)}


def ready(data):
    data.setup()
    data.reset(0)
    return data


def shape(labels, drawn):
    """How far the shares of the classes are from a fifth, summed."""
    return sum(abs(drawn[labels == c].mean() - 0.2) for c in np.unique(labels))


def labels_and_groups(num_groups, num_classes, seed):
    generator = np.random.default_rng(seed)
    groups = number_groups(generator.integers(0, num_groups, 600).astype(str))
    return (generator.random(600) * num_classes).astype(int), groups


@settings(max_examples=30, deadline=None)
@given(st.integers(10, 60), st.integers(2, 4), st.integers(0, 99))
def test_held_out_groups_are_whole(num_groups, num_classes, seed):
    labels, groups = labels_and_groups(num_groups, num_classes, seed)
    drawn = hold_out_groups(labels, groups, 0.2, seed)
    assert not {*groups[drawn]} & {*groups[~drawn]}
    assert {*labels[~drawn]} == {*labels}
    assert abs(drawn.mean() - 0.2) <= 0.5 * np.bincount(groups).max() / 600 + 0.02


def test_held_out_groups_are_nearly_as_balanced_as_scikit_learns():
    ours, theirs = [], []
    for seed in range(30):
        labels, groups = labels_and_groups(12 + seed, 3, seed)
        ours.append(shape(labels, hold_out_groups(labels, groups, 0.2, seed)))
        folds = StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(labels, labels, groups)
        theirs.append(max(shape(labels, np.isin(np.arange(600), test)) for _, test in folds))
    assert np.mean(ours) <= np.mean(theirs)


def test_a_class_in_one_group_stays_in_training():
    labels, groups = np.array([0, 0, 0, 0, 1, 1]), np.array([0, 1, 2, 3, 4, 4])
    for seed in range(20):
        drawn = hold_out_groups(labels, groups, 0.4, seed)
        assert drawn[:4].sum() in (1, 2)
        assert not drawn[4:].any()
    with pytest.raises(DataError, match="each group of data\\.group has all images of a class"):
        hold_out_groups(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1]), 0.5, 0)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(4, 40), min_size=1, max_size=4), st.integers(3, 30), st.integers(0, 9))
def test_validation_groups_are_whole_and_stay(sizes, num_groups, seed):
    generator = torch.Generator().manual_seed(seed)
    count = sum(sizes)
    index = torch.randperm(1000, generator=generator)[:count].sort().values
    rounds = torch.cat([torch.full((n,), k) for k, n in enumerate(sizes)])
    group = torch.randint(num_groups, (count,), generator=generator)
    label = torch.randint(3, (count,), generator=generator)
    before = None
    for k in range(len(sizes)):
        known = rounds <= k
        if len(group[known].unique()) == 1:
            return
        drawn = is_validation_group(0.25, seed, index[known], rounds[known], label[known], group[known])
        validated, trained = {*group[known][drawn].tolist()}, {*group[known][~drawn].tolist()}
        assert validated
        assert trained
        assert not validated & trained
        if before is not None:
            assert before[0] <= validated  # the same in all later rounds
            assert before[1] <= trained
        largest = int(torch.bincount(group[known]).max())
        assert len(sizes) > 1 or abs(int(drawn.sum()) - 0.25 * count) <= largest
        before = validated, trained


def test_classes_share_the_validation_part():
    group, label = torch.arange(200), torch.arange(200) // 100
    drawn = is_validation_group(0.2, 0, torch.arange(200), torch.zeros(200), label, group)
    assert [int(drawn[label == c].sum()) for c in (0, 1)] == [20, 20]


def test_groups_that_only_test_stay_as_images_arrive():
    first = torch.arange(10).repeat_interleave(4)
    before = groups_to_test(first, 40, 0.2, 0)
    assert int(before.sum()) == 8
    now = groups_to_test(torch.cat([first, torch.tensor([3, 10, *first[before][:1].tolist()])]), 40, 0.2, 0)
    assert now.tolist() == [*before.tolist(), bool(before[12]), False, True]


def test_a_folder_with_an_expression(tmp_path, capsys):
    root = make_photos(tmp_path / "photos")
    data = ready(ImageFolder(str(root), size=8, group=r"/(site\d+)-", validation_fraction=0.3))
    trained, tested = sites_of(data, torch.arange(len(data.labeled_at))), {*data.group_names["test"]}
    assert (len(tested), len(trained)) == (1, 5)
    assert not tested & trained
    data.draw_initial(20)
    validated = sites_of(data, torch.cat([batch.index for batch in data.val_dataloader()[0]]))
    fitted = sites_of(data, torch.cat([batch.index for batch in data.train_dataloader()]))
    assert validated
    assert fitted
    assert not validated & fitted
    assert "in both" not in capsys.readouterr().out


def test_a_column_and_a_given_test_set_that_shares_groups(tmp_path, capsys):
    root = make_photos(tmp_path / "photos")
    with (root / "labels.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "label", "split", "camera"])
        for path in sorted(root.rglob("*.png")):
            site = path.stem.split("-")[0]
            rows.writerow([path.relative_to(root), path.parent.name, "test" if path.stem.endswith("5") else "", site])
    data = ready(ImageFolder(str(root), str(root / "labels.csv"), size=8, group="camera"))
    assert sorted(data.group_names["test"]) == [f"site{k}" for k in range(6)]
    assert (
        "6 groups of data.group have images in both the training split and the test set ('site0', 'site1', 'site2', "
        "'site3', 'site4' and 1 more): 6 of 6 test images belong to them" in capsys.readouterr().out
    )
    for wrong, message in (
        ("kamera", "a column of the table of labels, or a regular expression"),
        ("(a)(b)", "one part in parentheses"),
        ("(", "one part in parentheses"),
        ("(site[12])", "got none by the regular expression .* for 20 images"),
    ):
        with pytest.raises(DataError, match=message):
            ready(ImageFolder(str(root), str(root / "labels.csv"), size=8, group=wrong))


def test_another_group_is_a_change(tmp_path):
    root = make_photos(tmp_path / "photos", sites=2)
    paths = sorted(path.relative_to(root) for path in root.rglob("*.png"))

    def data(third):
        rows = [
            f"{p},{p.parent},{'test' if row % 6 > 4 else ''},{p.stem if row != 2 else third}"
            for row, p in enumerate(paths)
        ]
        (root / "labels.csv").write_text("path,label,split,site\n" + "\n".join(rows) + "\n")
        return ready(ImageFolder(str(root), str(root / "labels.csv"), size=8, group="site"))

    before = tmp_path / "images.jsonl.gz"
    before.write_bytes(to_bytes(take_fingerprint(data("x"))))
    assert first_change(read_fingerprint(before), data("x")) is None
    assert first_change(read_fingerprint(before), data("y")) == f"the group of '{paths[2]}' is another one"


def test_held_out_labels_have_groups_of_their_own(tmp_path, capsys):
    root = make_photos(tmp_path / "photos", sites=8)
    run = tmp_path / "run"
    args = ["fit", "--config", "image_folder", "--data.root", str(root), "--data.size", "8", "--data.channels", "1"]
    args += ["--data.unlabeled", "true", "--data.group", r"(site\d+)-", "--run_dir", str(run)]
    args += [
        "--model.backbone",
        "SmallCNN",
        "--loop.initial_size",
        "14",
        "--loop.held_out",
        "6",
        "--trainer.max_epochs",
    ]
    args += ["1", "--loop.query_size", "4", "--loop.query_budget", "4", "--query", "PerGroup", "--oracle", "Files"]
    args += ["--data.classes", "[cat,dog]"]

    for name in ("initial", "round-000"):
        main(args)
        rows = [*csv.DictReader((run / "queries" / f"{name}.csv").read_text().splitlines())]
        answers = tmp_path / "answers.csv"
        answers.write_text("path,label\n" + "".join(f"{row['path']},{row['path'].split('/')[0]}\n" for row in rows))
        main(["label", str(run), str(answers)])
    main(args)
    first = json.loads((run / "rounds" / "000.json").read_text())
    held_out, initial, queried = (
        {path.split("/")[-1].split("-")[0] for path in first[part]["path"]}
        for part in ("held_out", "initial", "bought")
    )
    assert len(first["held_out"]["path"]) == 6
    assert not held_out & (initial | queried)
    assert len(queried) == len(first["bought"]["path"]) == 4  # one of each site


def test_features_have_groups(tmp_path, capsys):
    np.save(tmp_path / "features.npy", np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32))
    lines = [f"{('a', 'b')[k % 2]},p{k // 6},{'skip' if k == 7 else ''}" for k in range(60)]
    (tmp_path / "labels.csv").write_text("label,patient,note\n" + "\n".join(lines) + "\n")
    data = ready(Embeddings(str(tmp_path), group="patient"))
    assert len({*data.group_names["test"]}) == 2
    assert not {*data.group_names["test"]} & {*data.group_names["train"]}
    assert len(data.group_names["train"]) == len(data.groups) == len(data.labeled_at) == 48
    with pytest.raises(DataError, match="a column of the table of labels \\(label, patient, note\\)"):
        ready(Embeddings(str(tmp_path), group="site"))


def test_added_images_of_a_test_group_stay_out_of_the_pool(tmp_path):
    root = make_photos(tmp_path / "photos")
    first = ready(ImageFolder(str(root), size=8, group=r"/(site\d+)-"))
    train, test = ([path for path, _ in first.image_files(part)] for part in ("train", "test"))
    added = ["cat/" + test[0].split("/")[1].replace("-", "-9"), "dog/site7-0.png"]
    for path in added:
        Image.new("L", (8, 8)).save(root / path)
    data = ImageFolder(str(root), size=8, group=r"/(site\d+)-")
    data.keep_images(ImageOrder([*train, *added], test, len(train), frozenset(), ["cat", "dog"]))
    ready(data).split.add(torch.tensor([len(train), len(train) + 1]))
    assert data.num_pool == len(train) + 1
    assert data.paths(data.pool[-1:]) == ["dog/site7-0.png"]
