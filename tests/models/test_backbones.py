"""Shapes of the embeddings, the first layers, and weights that really come from the file."""

import inspect

import pytest
import torch
import torchvision
from torch import nn

from msal_lightning.errors import UserError
from msal_lightning.models.backbones import ResNet18, SmallCNN, TorchvisionBackbone


def images(n=2, channels=3, size=32):
    return torch.randn(n, channels, size, size, generator=torch.Generator().manual_seed(0))


def shape_before_pooling(backbone, batch):
    shapes = []
    handle = backbone.net.layer4.register_forward_hook(lambda module, args, output: shapes.append(output.shape))
    with torch.no_grad():
        backbone.eval()(batch)
    handle.remove()
    return tuple(shapes[0][2:])


def first_convolution(net):
    return next(m for m in net.modules() if isinstance(m, nn.Conv2d))


def randomized(net):
    """Other weights than a new network has, running means and variances too."""
    generator = torch.Generator().manual_seed(1)
    state = net.state_dict()
    for value in state.values():
        if value.is_floating_point():
            value.copy_(torch.rand(value.shape, generator=generator) * 0.1 + 0.01)
    return net


# ---------------------------------------------------------------- ResNet-18


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("stem", "kernel", "stride", "spatial"),
    [("conv7", (7, 7), (2, 2), (1, 1)), ("conv3", (3, 3), (1, 1), (2, 2)), ("conv3_nopool", (3, 3), (1, 1), (4, 4))],
)
def test_stems(stem, kernel, stride, spatial, channels):
    backbone = ResNet18(channels, stem=stem)
    first = first_convolution(backbone)
    assert (first.in_channels, first.kernel_size, first.stride, first.bias) == (channels, kernel, stride, None)
    assert shape_before_pooling(backbone, images(channels=channels)) == spatial
    embeddings = backbone(images(channels=channels))
    assert embeddings.shape == (2, 512)
    assert backbone.out_features == 512


def test_conv7_is_the_default():
    assert first_convolution(ResNet18(3)).kernel_size == (7, 7)


def test_stems_with_the_odd_size_of_mnist():
    for stem, spatial in (("conv7", (1, 1)), ("conv3", (2, 2)), ("conv3_nopool", (4, 4))):
        assert shape_before_pooling(ResNet18(1, stem=stem), images(channels=1, size=28)) == spatial


def test_resnet18_is_the_published_one_but_for_stem_and_last_layer():
    published = {name: p.shape for name, p in torchvision.models.resnet18(weights=None).named_parameters()}
    ours = {name.removeprefix("net."): p.shape for name, p in ResNet18(3).named_parameters()}
    assert ours == {name: shape for name, shape in published.items() if not name.startswith("fc.")}


# ---------------------------------------------------------------- SmallCNN


@pytest.mark.parametrize(("channels", "width"), [(1, 32), (3, 8)])
def test_small_cnn_on_small_images(channels, width):
    backbone = SmallCNN(channels, width=width)
    assert backbone.out_features == 4 * width
    assert backbone(images(channels=channels, size=8)).shape == (2, 4 * width)
    assert backbone(images(channels=channels, size=28)).shape == (2, 4 * width)


@pytest.mark.parametrize("cls", [ResNet18, SmallCNN, TorchvisionBackbone], ids=lambda cls: cls.__name__)
def test_each_backbone_trains_in_every_parameter(cls):
    torch.manual_seed(0)
    needs_name = "architecture" in inspect.signature(cls).parameters
    backbone = cls(3, architecture="resnet18") if needs_name else cls(3)
    backbone(images(n=3)).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in backbone.parameters())


# ---------------------------------------------------------------- any network of torchvision

ARCHITECTURES = [("resnet18", 512), ("mobilenet_v3_small", 1024)]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("architecture", "out_features"), ARCHITECTURES)
def test_architectures(architecture, out_features, channels):
    backbone = TorchvisionBackbone(channels, architecture)
    assert backbone.out_features == out_features
    assert backbone(images(channels=channels)).shape == (2, out_features)
    assert first_convolution(backbone).in_channels == channels
    assert all(m.out_features != 1000 for m in backbone.modules() if isinstance(m, nn.Linear))


@pytest.fixture(params=[name for name, _ in ARCHITECTURES])
def published(request, tmp_path):
    """A whole network and the file of its state dict."""
    net = randomized(getattr(torchvision.models, request.param)(weights=None)).eval()
    torch.save(net.state_dict(), tmp_path / "weights.pth")
    return request.param, net, str(tmp_path / "weights.pth")


def test_weights_come_from_the_file(published):
    architecture, net, path = published
    backbone = TorchvisionBackbone(3, architecture, weights=path).eval()
    theirs = net.state_dict()
    ours = {name.removeprefix("net."): value for name, value in backbone.state_dict().items()}
    assert set(ours) < set(theirs)
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())

    last = [m for m in net.modules() if isinstance(m, nn.Linear)][-1]
    inputs = []
    last.register_forward_pre_hook(lambda module, args: inputs.append(args[0]))
    with torch.no_grad():
        net(images())
        torch.testing.assert_close(backbone(images()), inputs[0])


def test_pretrained_filters_fit_grey_images(published):
    architecture, net, path = published
    backbone = TorchvisionBackbone(1, architecture, weights=path).eval()
    grey = images(channels=1)
    with torch.no_grad():
        theirs = first_convolution(net)(grey.repeat(1, 3, 1, 1))
        torch.testing.assert_close(first_convolution(backbone)(grey), theirs, rtol=1e-4, atol=1e-4)
        colour = TorchvisionBackbone(3, architecture, weights=path).eval()
        torch.testing.assert_close(backbone(grey), colour(grey.repeat(1, 3, 1, 1)), rtol=1e-3, atol=1e-3)


def test_pretrained_filters_are_averaged_for_other_channels(published):
    architecture, net, path = published
    first, theirs = first_convolution(TorchvisionBackbone(5, architecture, weights=path)), first_convolution(net)
    assert first.weight.shape[1] == 5
    for channel in range(5):
        expected = (theirs.weight[:, 0] + theirs.weight[:, 1] + theirs.weight[:, 2]) / 3 * (3 / 5)
        torch.testing.assert_close(first.weight[:, channel], expected)


def test_convolution_with_bias_is_adapted():
    backbone = TorchvisionBackbone(1, "alexnet")
    assert first_convolution(backbone).bias is not None
    assert backbone.out_features == 4096


@pytest.mark.parametrize(("wrong", "meant"), [("resnt18", "resnet18"), ("mobilenetv3_small", "mobilenet_v3_small")])
def test_unknown_architecture_names_the_nearest(wrong, meant):
    with pytest.raises(UserError, match=rf"architecture .*got '{wrong}': did you mean .*\b{meant}\b"):
        TorchvisionBackbone(3, wrong)


def test_network_without_a_last_linear_layer():
    with pytest.raises(UserError, match=r"'squeezenet1_0' does not end in a linear layer"):
        TorchvisionBackbone(3, "squeezenet1_0")


def test_missing_weights(tmp_path):
    path = tmp_path / "none.pth"
    with pytest.raises(UserError, match=rf"weights to be a file, found none at '{path}'"):
        TorchvisionBackbone(3, "resnet18", weights=str(path))


@pytest.mark.parametrize("content", ["list", "nothing", "text", "folder"])
def test_foreign_weights(content, tmp_path):
    path = tmp_path / "weights.pth"
    match content:
        case "list":
            torch.save([torch.zeros(3)], path)
        case "nothing":
            path.write_bytes(b"")
        case "text":
            path.write_text("no weights")
        case "folder":
            path.mkdir()
    with pytest.raises(UserError, match=rf"cannot use '{path}' as weights of resnet18") as error:
        TorchvisionBackbone(3, "resnet18", weights=str(path))
    assert "\n" not in str(error.value)


def test_weights_by_name_that_cannot_be_downloaded(no_network, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(UserError, match=r"cannot download the weights IMAGENET1K_V1 of resnet18 from .*: fetch"):
        TorchvisionBackbone(3, "resnet18", "IMAGENET1K_V1")
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]
