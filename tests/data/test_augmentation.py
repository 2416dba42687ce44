"""The augmentation against one image at a time, and that training images alone go through it."""

import math

import pytest
import torch
import torchvision.transforms.functional as TF

from msal_lightning.data import Batch, CropFlip, RotateFlip
from msal_lightning.data.augmentation import rotate
from msal_lightning.datasets import Digits
from msal_lightning.seeding import stream


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def images(n=20, channels=3, height=9, width=12, dtype=torch.uint8):
    image = torch.randint(1, 256, (n, channels, height, width), dtype=torch.uint8, generator=generator(1))
    return image if dtype == torch.uint8 else image.to(dtype) / 7


def one_by_one(batch, padding, flip, drawn_from):
    shift = torch.randint(0, 2 * padding + 1, (2, len(batch)), generator=drawn_from)
    flipped = torch.rand(len(batch), generator=drawn_from) < flip
    result = []
    for i, image in enumerate(batch):
        image = TF.pad(image, [padding] * 4)
        image = TF.crop(image, int(shift[0, i]), int(shift[1, i]), *batch.shape[2:])
        result.append(TF.hflip(image) if flipped[i] else image)
    return torch.stack(result)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("padding", "flip"), [(4, 0.5), (0, 0.5), (1, 1.0), (7, 0.0), (20, 0.3)])
@pytest.mark.parametrize("channels", [1, 3])
def test_equals_one_image_at_a_time(channels, padding, flip, dtype):
    batch = images(channels=channels, dtype=dtype)
    before = batch.clone()
    got = CropFlip(padding, flip)(batch, generator(3))
    assert got.dtype == dtype
    assert got.shape == batch.shape
    assert torch.equal(got, one_by_one(batch, padding, flip, generator(3)))
    assert torch.equal(batch, before)


def test_defaults_are_the_usual_cifar_augmentation():
    batch = images(height=32, width=32)
    assert torch.equal(CropFlip()(batch, generator()), one_by_one(batch, 4, 0.5, generator()))


def test_each_image_has_its_own_randomness():
    batch = images(n=1).repeat(64, 1, 1, 1)
    got = CropFlip()(batch, generator())
    assert len({tuple(image.flatten().tolist()) for image in got}) > 40
    flips_alone = CropFlip(padding=0)(batch, generator())
    assert len({tuple(image.flatten().tolist()) for image in flips_alone}) == 2


def test_all_crops_are_drawn():
    batch = torch.zeros(600, 1, 5, 5, dtype=torch.uint8)
    batch[:, 0, 2, 2] = 1
    places = CropFlip(padding=2, flip=0)(batch, generator()).nonzero()[:, 2:]
    assert {tuple(place) for place in places.tolist()} == {(y, x) for y in range(5) for x in range(5)}


def test_the_generator_decides():
    batch = images()
    augment = CropFlip()
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    first = augment(batch, generator(5))
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(augment(batch, generator(5)), first)
    assert not torch.equal(augment(batch, generator(6)), first)
    going_on = generator(5)
    augment(batch, going_on)
    assert not torch.equal(augment(batch, going_on), first)


@pytest.mark.parametrize("augmentation", [CropFlip(), RotateFlip()])
def test_draws_are_applied_later(augmentation):
    batch, at_once, apart = images(), generator(5), generator(5)
    draws = [augmentation.draw(len(batch), apart) for _ in range(2)]
    for draw in draws:
        assert torch.equal(augmentation.apply(batch, draw), augmentation(batch, at_once))
    assert torch.equal(torch.rand(3, generator=apart), torch.rand(3, generator=at_once))


def test_no_padding_and_no_flip_change_nothing():
    batch = images()
    assert torch.equal(CropFlip(padding=0, flip=0)(batch, generator()), batch)


def test_channels_last_images():
    batch = images(dtype=torch.float32)
    got = CropFlip()(batch.contiguous(memory_format=torch.channels_last), generator())
    assert torch.equal(got, CropFlip()(batch, generator()))


@pytest.mark.parametrize(("padding", "flip"), [(-1, 0.5), (4, -0.1), (4, 1.1), (4, float("nan"))])
def test_bad_arguments(padding, flip):
    with pytest.raises(ValueError, match=f"padding={padding} and flip={flip}"):
        CropFlip(padding, flip)


# ---------------------------------------------------------------- through the Trainer


def digits(seed=0, **settings):
    data = Digits(batch_size=16, eval_batch_size=300, augmentation=CropFlip(padding=1), **settings)
    data.setup()
    start(data, seed)
    return data


def start(data, seed):
    data.reset(seed)
    data.draw_initial(40)


def normalized(data, image):
    return (image / 255 - data.mean[0]) / data.std[0]


@pytest.fixture
def fit_images(make_trainer, recorder):
    """The training images, as one epoch's fit shows them to the model."""

    def fit(data):
        model = recorder()
        make_trainer(max_epochs=1).fit(model, datamodule=data)
        return joined(model.seen["fit"]).image

    return fit


def joined(batches):
    return Batch(*map(torch.cat, zip(*batches, strict=True)))


def test_training_alone_is_augmented(make_trainer, recorder):
    data, model = digits(), recorder()
    trainer = make_trainer(max_epochs=2)
    trainer.fit(model, datamodule=data)
    trainer.test(model, datamodule=data, verbose=False)
    trainer.predict(model, datamodule=data, return_predictions=False)

    torch.testing.assert_close(joined(model.seen["test"]).image, normalized(data, data.test.image))
    torch.testing.assert_close(joined(model.seen["predict"]).image, normalized(data, data.images[data.pool]))

    assert len(model.seen["fit"]) == 2 * 3
    for number, batch in enumerate(model.seen["fit"]):
        if number % 3 == 0:
            drawn_from = stream(data.seed, "augment", data.round, number // 3, 0)
        expected = one_by_one(data.images[batch.index], 1, 0.5, drawn_from)
        torch.testing.assert_close(batch.image, normalized(data, expected))
        assert not torch.allclose(batch.image, normalized(data, data.images[batch.index]), atol=1e-3)


def test_training_without_augmentation_sees_the_images_as_they_are(make_trainer, recorder):
    data, model = Digits(batch_size=16), recorder()
    data.setup()
    start(data, 0)
    make_trainer(max_epochs=1).fit(model, datamodule=data)
    batch = joined(model.seen["fit"])
    torch.testing.assert_close(batch.image, normalized(data, data.images[batch.index]))


def test_augmentation_differs_between_rounds_and_epochs(make_trainer, recorder):
    data = digits()
    draws = []
    for round in range(2):
        data.enter(round=round)
        model = recorder()
        make_trainer(max_epochs=2).fit(model, datamodule=data)
        for epoch in range(2):
            batch = joined(model.seen["fit"][3 * epoch : 3 * epoch + 3])
            draws.append(batch.image[batch.index.argsort()])
    for i, one in enumerate(draws):
        for other in draws[:i]:
            assert not torch.equal(one, other)


def test_augmentation_starts_anew_with_each_fit(fit_images):
    data = digits(seed=0)
    first = fit_images(data)
    start(data, 0)
    assert torch.equal(fit_images(data), first)


def test_augmentation_follows_the_seed(fit_images):
    data = digits(seed=0)
    fit_images(data)
    start(data, 1)
    assert torch.equal(fit_images(data), fit_images(digits(seed=1)))


def test_resumed_fit_sees_what_an_uninterrupted_one_sees(make_trainer, recorder, tmp_path):
    whole = recorder()
    make_trainer(max_epochs=4).fit(whole, datamodule=digits())

    trainer = make_trainer(max_epochs=2)
    trainer.fit(recorder(), datamodule=digits())
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    rest = recorder()
    make_trainer(max_epochs=4).fit(rest, datamodule=digits(seed=8), ckpt_path=tmp_path / "last.ckpt")

    assert len(rest.seen["fit"]) == 2 * 3
    for got, expected in zip(rest.seen["fit"], whole.seen["fit"][6:], strict=True):
        assert torch.equal(got.index, expected.index)
        assert torch.equal(got.label, expected.label)
        assert torch.equal(got.image, expected.image)


# RotateFlip


def test_rotation_is_torchvisions_for_the_same_angles():
    batch = images(40, 3, 64, 64)
    angle = (2 * torch.rand(40, generator=generator(2)) - 1) * 20
    flip = torch.rand(40, generator=generator(3)) < 0.5
    got = rotate(batch, torch.deg2rad(angle), flip)
    expected = torch.stack([TF.rotate(image, degrees.item()) for image, degrees in zip(batch, angle, strict=True)])
    expected[flip] = expected[flip].flip(3)
    assert got.dtype == torch.uint8
    assert (got != expected).any(dim=1).float().mean() < 1e-3  # pixels halfway between two, where rounding decides


@pytest.mark.parametrize("size", [(8, 8), (9, 7)])
def test_right_angles_by_hand(size):
    batch = torch.arange(2 * size[0] * size[1]).view(2, 1, *size)
    no, yes = torch.tensor([False, False]), torch.tensor([True, True])
    assert torch.equal(rotate(batch, torch.zeros(2), no), batch)
    assert torch.equal(rotate(batch, torch.zeros(2), yes), batch.flip(3))
    assert torch.equal(rotate(batch, torch.full((2,), math.pi), no), batch.flip(2, 3))
    if size[0] == size[1]:
        assert torch.equal(rotate(batch, torch.full((2,), math.pi / 2), no), batch.rot90(1, (2, 3)))


def test_rotate_flip_draws_for_each_image_from_its_stream():
    batch = torch.randint(1, 256, (1, 3, 16, 16), dtype=torch.uint8).expand(64, -1, -1, -1)
    augmentation = RotateFlip(20.0)
    first = augmentation(batch, generator(1))
    assert torch.equal(first, augmentation(batch, generator(1)))
    assert not torch.equal(first, augmentation(batch, generator(2)))
    assert len({image.numpy().tobytes() for image in first}) > 45
    assert torch.equal(RotateFlip(0.0, 0.0)(batch, torch.Generator()), batch)
    assert torch.equal(RotateFlip(0.0, 1.0)(batch, torch.Generator()), batch.flip(3))


@pytest.mark.parametrize("options", [{"degrees": -1}, {"degrees": 181}, {"flip": 1.1}, {"flip": -0.1}])
def test_rotate_flip_refuses_what_has_no_meaning(options):
    with pytest.raises(ValueError, match=r"degrees in \[0, 180\] and flip in \[0, 1\]"):
        RotateFlip(**options)
