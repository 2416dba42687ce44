"""The split and its moves, the loaders, and what reaches the model."""

import io

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from msal_lightning.data import Batch
from msal_lightning.data.batches.loading import ImageSet
from msal_lightning.data.labels import UNKNOWN
from msal_lightning.data.places import Place
from msal_lightning.datasets import CIFAR100, Digits, FashionMNIST
from msal_lightning.errors import UserError
from msal_lightning.loop.loop import ActiveLoop
from msal_lightning.models.backbones import SmallCNN
from msal_lightning.models.classifier import MSALClassifier
from msal_lightning.runs.directory import RunDirectory
from msal_lightning.runs.options import LoopOptions
from msal_lightning.seeding import stream
from msal_lightning.strategies import Random

SIZE = 1297


def ready(seed=0, initial=40, **settings):
    data = Digits(**settings)
    data.setup()
    data.reset(seed)
    if initial:
        data.draw_initial(initial)
    return data


def state(data):
    return data.labeled_at.clone(), data.labels.clone(), data.hidden_labels.num_revealed


def same_state(a, b):
    return torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) and a[2] == b[2]


def joined(loader):
    return Batch(*map(torch.cat, zip(*loader, strict=True)))


def assert_partition(data):
    labeled, pool = data.labeled.tolist(), data.pool.tolist()
    assert labeled == sorted(labeled)
    assert pool == sorted(pool)
    assert not set(labeled) & set(pool)
    assert set(labeled) | set(pool) == set(range(SIZE))
    assert data.hidden_labels.num_revealed == len(labeled)
    assert (data.labels[data.pool] == UNKNOWN).all()
    assert (data.labels[data.labeled] >= 0).all()


# ---------------------------------------------------------------- the initial set


def test_everything_is_in_the_pool_at_first():
    data = ready(initial=0)
    assert data.pool.tolist() == list(range(SIZE))
    assert data.labeled.tolist() == []
    assert data.labels.tolist() == [UNKNOWN] * SIZE


def test_setup_reads_once():
    data = ready()
    before, image = state(data), data.images
    for stage in ("fit", "test", "predict", None):
        data.setup(stage)
    assert same_state(state(data), before)
    assert data.images is image


def test_initial_set_depends_on_the_seed_alone():
    once = ready(seed=3, initial=0).draw_initial(40)
    other_settings = ready(seed=3, initial=0, batch_size=7, eval_batch_size=3).draw_initial(40)
    used = ready(seed=5)
    used.enter(round=4)
    used.label(used.pool[:9])
    torch.manual_seed(99)
    used.reset(3)
    assert torch.equal(once, other_settings)
    assert torch.equal(once, used.draw_initial(40))
    assert not torch.equal(once, ready(seed=4, initial=0).draw_initial(40))


def test_initial_set_is_that_of_its_stream():
    expected = torch.randperm(SIZE, generator=stream(3, "split"))[:40]
    assert torch.equal(ready(seed=3, initial=0).draw_initial(40), expected)


def test_initial_set_is_what_it_says():
    data = ready(initial=0)
    initial = data.draw_initial(40)
    assert len(initial) == len(set(initial.tolist())) == 40
    assert data.labeled.tolist() == sorted(initial.tolist())
    assert (data.labeled_at[initial] == 0).all()
    assert_partition(data)


def test_small_initial_set_is_the_start_of_a_large_one():
    assert torch.equal(ready(initial=0).draw_initial(80)[:40], ready(initial=0).draw_initial(40))


def test_drawing_leaves_the_global_stream_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    data = ready()
    for loader in (data.train_dataloader(), data.test_dataloader(), data.predict_dataloader()):
        next(iter(loader))
    assert torch.equal(torch.rand(3), expected)


def test_reset_forgets_everything():
    data = ready()
    data.enter(round=2)
    data.label(data.pool[:10])
    data.reset(1)
    assert (data.round, data.seed, data.hidden_labels.num_revealed) == (0, 1, 0)
    assert data.labeled.tolist() == []
    assert data.labels.tolist() == [UNKNOWN] * SIZE


# ---------------------------------------------------------------- moves

DATA = Digits()
DATA.setup()


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 5),
    initial=st.integers(1, 50),
    moves=st.lists(st.lists(st.integers(0, SIZE - 1), max_size=20, unique=True), max_size=6),
)
def test_partition_after_any_sequence_of_moves(seed, initial, moves):
    DATA.reset(seed)
    DATA.draw_initial(initial)
    for round, wanted in enumerate(moves):
        DATA.enter(round=round)
        before, index = state(DATA), torch.tensor(wanted, dtype=torch.int64)
        if (DATA.labeled_at[index] != Place.POOL).any():
            with pytest.raises(ValueError, match="not in the pool"):
                DATA.label(index)
            assert same_state(state(DATA), before)
        else:
            labels = DATA.label(index)
            assert torch.equal(DATA.labels[index], labels)
            assert (DATA.labeled_at[index] == round + 1).all()
            rest = torch.ones(SIZE, dtype=torch.bool)
            rest[index] = False
            assert torch.equal(DATA.labeled_at[rest], before[0][rest])
        assert_partition(DATA)


def test_the_oracle_tells_the_truth():
    data = Digits()
    learn, _ = data.load()
    data.setup()
    data.reset(0)
    index = torch.tensor([1296, 0, 700, 3])
    assert torch.equal(data.label(index), learn.label[index])
    assert torch.equal(data.labels[index], learn.label[index])


@pytest.mark.parametrize("position", [0, 1, 2])
@pytest.mark.parametrize("kind", ["repeated", "past the end", "far outside", "negative", "initial set", "bought"])
def test_invalid_moves_are_refused_and_nothing_moves(kind, position):
    data = ready()
    queried = data.pool[5:8]
    data.label(queried)
    good = data.pool[[10, 20]].tolist()
    bad = {
        "repeated": good[0],
        "past the end": SIZE,
        "far outside": 10**6,
        "negative": -1,
        "initial set": int(data.labeled[0]),
        "bought": int(queried[1]),
    }[kind]
    before = state(data)
    index = torch.tensor([*good[:position], bad, *good[position:]])
    with pytest.raises(ValueError, match=r"label\(\) got"):
        data.label(index)
    with pytest.raises(ValueError, match="got"):
        data.split.restore(index, torch.zeros(3, dtype=torch.int64), 1)
    assert same_state(state(data), before)


def test_every_negative_index_is_refused():
    data = ready(initial=0)
    with pytest.raises(ValueError, match="outside"):
        data.label(torch.tensor([-SIZE]))
    assert len(data.labeled) == 0


def test_no_image_is_a_valid_purchase():
    data = ready()
    before = state(data)
    assert data.label(torch.empty(0, dtype=torch.int64)).tolist() == []
    assert same_state(state(data), before)


def test_labeled_at_says_from_which_round_an_image_is_trained_on():
    data = ready()
    initial = data.labeled
    first, second = data.pool[[0, 7]], data.pool[[3, 9, 11]]
    data.enter(round=0)
    data.label(first)
    data.enter(round=1)
    data.label(second)
    assert set(data.labeled_at[initial].tolist()) == {0}
    assert data.labeled_at[first].tolist() == [1, 1]
    assert data.labeled_at[second].tolist() == [2, 2, 2]
    assert int((data.labeled_at == Place.POOL).sum()) == SIZE - 45


def test_the_whole_pool_can_be_bought():
    data = ready()
    data.label(data.pool)
    assert len(data.pool) == 0
    assert len(joined(data.predict_dataloader()).index) == 0
    assert_partition(data)


def test_restore_repeats_moves():
    data = ready(seed=2)
    initial = data.labeled
    queried = data.pool[[4, 2, 90]]
    data.label(queried)

    again = ready(seed=2, initial=0)
    again.split.restore(initial, data.labels[initial], 0)
    again.split.restore(queried, data.labels[queried], 1)
    assert same_state(state(again), state(data))


def test_restore_takes_the_recorded_label_not_the_oracles():
    data = ready(initial=0)
    data.split.restore(torch.tensor([5]), torch.tensor([9]), 3)
    data.split.restore(torch.tensor([6]), torch.tensor([8]), 3)
    assert data.labels[[5, 6]].tolist() == [9, 8]
    assert data.labeled_at[[5, 6]].tolist() == [3, 3]


def test_restore_of_nothing():
    data = ready()
    before = state(data)
    data.split.restore(torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.int64), 1)
    assert same_state(state(data), before)


def test_loop_restores_the_split_of_several_rounds(make_trainer, tmp_path):
    def run():
        data = Digits()
        loop = ActiveLoop(
            new_model=lambda: MSALClassifier(10, 1, backbone=lambda channels: SmallCNN(channels, width=2)),
            new_trainer=lambda **settings: make_trainer(max_epochs=1, **settings),
            data=data,
            strategy=Random(),
            run=RunDirectory(tmp_path / "run", {}, overwrite=False),
            options=LoopOptions(initial_size=20, query_size=10, query_budget=30),
        )
        loop.run()
        return data

    uninterrupted = run()
    for round in (2, 3):
        (tmp_path / "run" / "rounds" / f"{round:03}.json").unlink()
    assert same_state(state(run()), state(uninterrupted))


# ---------------------------------------------------------------- checkpoints


def through_a_file(content):
    file = io.BytesIO()
    torch.save(content, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def test_state_survives_a_checkpoint():
    data = ready(seed=6)
    data.enter(round=3)
    data.label(data.pool[[1, 50, 600]])
    saved = through_a_file(data.state_dict())

    other = Digits()  # not even set up
    other.load_state_dict(saved)
    assert same_state(state(other), state(data))
    assert (other.round, other.seed) == (3, 6)
    assert torch.equal(joined(other.train_dataloader()).index, joined(data.train_dataloader()).index)
    assert_partition(other)

    before = saved["labeled_at"].clone()
    other.label(other.pool[:5])
    assert torch.equal(saved["labeled_at"], before)


def test_a_checkpoint_holds_no_label_of_the_pool():
    data = ready()
    saved = through_a_file(data.state_dict())
    assert (saved["labels"][data.pool] == UNKNOWN).all()


def test_state_of_another_dataset_is_refused(idx_root):
    other = FashionMNIST(root=str(idx_root(n_train=50, n_test=10)))
    other.setup()
    data = ready()
    before = state(data)
    with pytest.raises(ValueError, match=r"1297 images, got one of 50"):
        data.load_state_dict(other.state_dict())
    assert same_state(state(data), before)


# ---------------------------------------------------------------- training loader


@pytest.mark.parametrize("batch_size", [2, 7, 39, 40, 41, 128])
def test_each_labeled_image_once_an_epoch(batch_size):
    data = ready(batch_size=batch_size)
    data.label(data.pool[:33])
    batch = joined(data.train_dataloader())
    assert sorted(batch.index.tolist()) == data.labeled.tolist()
    assert torch.equal(batch.label, data.hidden_labels.label(batch.index))
    assert torch.equal(batch.image, data.images[batch.index])


def test_training_order_has_its_own_stream():
    def order(seed=0, round=0, epoch=0):
        data = ready(seed=0)
        data.seed = seed
        data.enter(round=round)  # the same labeled set
        loader = data.train_dataloader()
        loader.sampler.set_epoch(epoch)
        return joined(loader).index.tolist()

    orders = [order(seed, round, epoch) for seed in (0, 1) for round in (0, 1) for epoch in (0, 1, 2)]
    assert len(set(map(tuple, orders))) == len(orders)
    assert order(1, 1, 2) == order(1, 1, 2)


def test_training_order_does_not_depend_on_earlier_epochs():
    loader = ready().train_dataloader()
    first = joined(loader).index
    for epoch in (1, 2):
        loader.sampler.set_epoch(epoch)
        list(loader)
    loader.sampler.set_epoch(0)
    assert torch.equal(joined(loader).index, first)


def test_training_order_does_not_depend_on_the_batch_size():
    small, large = ready(batch_size=3).train_dataloader(), ready(batch_size=64).train_dataloader()
    assert torch.equal(joined(small).index, joined(large).index)


def test_each_epoch_of_a_fit_has_its_own_order(make_trainer, recorder):
    data, model = ready(batch_size=16), recorder()
    make_trainer(max_epochs=3).fit(model, datamodule=data)
    seen = [b.index.tolist() for b in model.seen["fit"]]
    assert len(seen) == 3 * 3
    loader = data.train_dataloader()
    for epoch in range(3):
        loader.sampler.set_epoch(epoch)
        assert seen[3 * epoch : 3 * epoch + 3] == [b.index.tolist() for b in loader]
    assert len(set(map(str, (seen[0:3], seen[3:6], seen[6:9])))) == 3


# ---------------------------------------------------------------- evaluation loaders


@pytest.mark.parametrize("eval_batch_size", [1, 7, 500, 5000])
def test_evaluation_covers_all_in_ascending_order(eval_batch_size):
    data = ready(eval_batch_size=eval_batch_size)
    pool, test = joined(data.predict_dataloader()), joined(data.test_dataloader())
    assert pool.index.tolist() == data.pool.tolist()
    assert torch.equal(pool.image, data.images[data.pool])
    assert test.index.tolist() == list(range(500))
    assert torch.equal(test.image, data.test.image)
    assert torch.equal(test.label, data.test.label)
    assert max(len(b.index) for b in data.predict_dataloader()) <= eval_batch_size
    assert len(data.predict_dataloader()) == -(-len(data.pool) // eval_batch_size)


def test_the_pool_shows_no_label():
    data = ready(eval_batch_size=100)
    for round in range(3):
        data.enter(round=round)
        for batch in data.predict_dataloader():
            assert batch.label.tolist() == [UNKNOWN] * len(batch.label)
            assert (data.labeled_at[batch.index] == Place.POOL).all()
        data.label(data.pool[:: 7 + round])
        assert_partition(data)
        assert len(joined(data.predict_dataloader()).index) == len(data.pool)


def test_loaders_share_the_storage():
    data = ready()
    for loader in (data.train_dataloader(), data.predict_dataloader()):
        assert loader.dataset.image.data_ptr() == data.images.data_ptr()
        assert loader.dataset.label.data_ptr() == data.labels.data_ptr()
    assert data.test_dataloader().dataset.image.data_ptr() == data.test.image.data_ptr()
    assert data.images.dtype == torch.uint8


@pytest.mark.parametrize(("setting", "value"), [("batch_size", 1), ("batch_size", 0), ("eval_batch_size", 0)])
def test_bad_batch_sizes_are_refused(setting, value):
    with pytest.raises(UserError, match=rf"data\.{setting} .*got {value}"):
        Digits(**{setting: value})


# ---------------------------------------------------------------- what the model sees


@pytest.mark.parametrize("data", [Digits(), CIFAR100()], ids=["grey", "colour"])
def test_normalization(data):
    image = torch.randint(0, 256, (3, data.in_channels, 4, 5), dtype=torch.uint8)
    image[0, 0, 0, :2] = torch.tensor([0, 255])
    batch = Batch(torch.arange(3), image, torch.tensor([2, 1, 0]))
    got = data.on_after_batch_transfer(batch, 0)
    assert got.image.dtype == torch.float32
    assert torch.equal(got.index, batch.index)
    assert torch.equal(got.label, batch.label)
    for n in range(3):
        for c in range(data.in_channels):
            for y in range(4):
                for x in range(5):
                    expected = (int(image[n, c, y, x]) / 255 - data.mean[c]) / data.std[c]
                    assert float(got.image[n, c, y, x]) == pytest.approx(expected, abs=1e-5)


def test_mean_and_std_are_those_of_the_digits():
    data = ready()
    pixels = data.images.double() / 255
    assert float(pixels.mean()) == pytest.approx(data.mean[0], abs=2e-3)
    assert float(pixels.std()) == pytest.approx(data.std[0], abs=2e-3)


@pytest.mark.parametrize(
    "image",
    [
        torch.zeros(5, 8, 8, dtype=torch.uint8),
        torch.zeros(5, 3, 8, 8, dtype=torch.uint8),
        torch.zeros(5, 1, 8, 8),
        torch.zeros(4, 1, 8, 8, dtype=torch.uint8),
        torch.zeros(0, 1, 8, 8, dtype=torch.uint8),
    ],
)
def test_images_that_a_dataset_should_not_give_are_named(image):
    class Mine(Digits):
        def load(self):
            good = ImageSet(torch.zeros(5, 1, 8, 8, dtype=torch.uint8), torch.zeros(5, dtype=torch.int64))
            return good, ImageSet(image, good.label[: 5 if len(image) else 0])

    with pytest.raises(UserError, match=r"expected Mine\.load\(\) to give uint8 images"):
        Mine().setup()


class Given(Digits):
    """Digits whose labels went through a function."""

    def __init__(self, change, image=lambda image: image):
        super().__init__()
        self.change, self.image = change, image

    def load(self):
        return tuple(ImageSet(self.image(part.image), self.change(part.label)) for part in super().load())


KINDS = {
    "uint8": Tensor.byte,
    "int16": Tensor.short,
    "int32": Tensor.int,
    "NumPy": lambda label: label.numpy().astype("uint16"),
    "list": Tensor.tolist,
}


@pytest.mark.parametrize("change", KINDS.values(), ids=KINDS)
def test_labels_of_any_integer_type_are_the_same_labels(change):
    (learn, test), (expected, expected_test) = Given(change).read(), Digits().read()
    assert learn.label.dtype == test.label.dtype == torch.int64
    assert torch.equal(learn.label, expected.label)
    assert torch.equal(test.label, expected_test.label)


ODD = {
    "one-hot": lambda label: torch.nn.functional.one_hot(label, 10),
    "float": Tensor.double,
    "column": lambda label: label[:, None],
    "one for all": lambda label: label[0],
}


@pytest.mark.parametrize("change", ODD.values(), ids=ODD)
def test_labels_that_are_no_whole_numbers_are_one_sentence(change):
    with pytest.raises(UserError, match=r"one whole number a label.*argmax\(1\)") as caught:
        Given(change).read()
    assert "\n" not in str(caught.value)


def test_images_without_pixels_are_one_sentence():
    with pytest.raises(UserError, match="to have pixels, got 0×8"):
        Given(Tensor.long, lambda image: image[:, :, :0]).read()
