"""Files of weights in the forms that people have, and files of other networks."""

import io
import sys
import zipfile

import pytest
import torch
from torch import nn
from torchvision.models import efficientnet_b0, mobilenet_v3_small, resnet18, resnet34

from msal_lightning.errors import UserError
from msal_lightning.models.backbones import TorchvisionBackbone
from msal_lightning.models.weights_file import load_weights, read_weights


def small():
    """A network of a stem, a block and a classifier; its first convolution takes three colours."""
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 1000))


@pytest.fixture(scope="module")
def state():
    torch.manual_seed(1)
    return {name: torch.rand_like(value.float()).to(value.dtype) for name, value in resnet18().state_dict().items()}


def without(state, *prefixes):
    return {name: value for name, value in state.items() if not name.startswith(prefixes)}


FORMS = {
    "as published": lambda state: state,
    "no classifier": lambda state: without(state, "fc."),
    "12 classes": lambda state: state | {"fc.weight": torch.zeros(12, 512), "fc.bias": torch.zeros(12)},
    "classifier of two layers": lambda state: without(state, "fc.") | {"fc.0.weight": torch.zeros(9, 512)},
    "state_dict": lambda state: {"state_dict": state, "epoch": 3},
    "model": lambda state: {"model": state},
    "both": lambda state: {"state_dict": {"model": state}},
    "module.": lambda state: {f"module.{name}": value for name, value in state.items()},
    "two prefixes and another head": lambda state: (
        {f"model.backbone.{name}": value for name, value in state.items()} | {"model.head.weight": torch.zeros(2, 2)}
    ),
    "half precision": lambda state: {
        name: value.half() if value.is_floating_point() else value for name, value in state.items()
    },
    "before torch 0.4.1": lambda state: {name: v for name, v in state.items() if "num_batches" not in name},
}


FEW = ("12 classes", "both", "two prefixes and another head", "half precision", "before torch 0.4.1")


@pytest.mark.parametrize(
    "form", [*FEW, *(pytest.param(form, marks=pytest.mark.slow) for form in FORMS if form not in FEW)]
)
def test_forms(form, state, tmp_path):
    torch.save(FORMS[form](state), tmp_path / "weights.pth")
    backbone = TorchvisionBackbone(3, "resnet18", weights=str(tmp_path / "weights.pth"))
    counted = form != "before torch 0.4.1"
    for name, value in backbone.net.state_dict().items():
        expected = state[name] if counted or "num_batches" not in name else torch.tensor(0)
        expected = expected.half().float() if form == "half precision" and value.is_floating_point() else expected
        assert torch.equal(value, expected), name


def test_the_format_from_before_torch_1_6(state, tmp_path):
    torch.save(state, tmp_path / "weights.pth", _use_new_zipfile_serialization=False)
    assert not zipfile.is_zipfile(tmp_path / "weights.pth")
    backbone = TorchvisionBackbone(3, "resnet18", weights=str(tmp_path / "weights.pth"))
    assert torch.equal(backbone.net.conv1.weight, state["conv1.weight"])


def test_safetensors(state, tmp_path):
    save_file = pytest.importorskip("safetensors.torch").save_file
    save_file(state, tmp_path / "weights.safetensors")
    backbone = TorchvisionBackbone(1, "resnet18", weights=str(tmp_path / "weights.safetensors"))
    assert torch.equal(backbone.net.layer4[1].bn2.running_var, state["layer4.1.bn2.running_var"])
    torch.testing.assert_close(backbone.net.conv1.weight, state["conv1.weight"].sum(1, keepdim=True))

    (tmp_path / "weights.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(UserError, match=r"cannot use '.*weights.safetensors' as weights of resnet18 \(Safetensor"):
        TorchvisionBackbone(1, "resnet18", weights=str(tmp_path / "weights.safetensors"))


def test_safetensors_without_the_library(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    (tmp_path / "weights.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match=r"expected the library safetensors, .*pip install 'msal_lightning\[safetens"):
        read_weights(tmp_path / "weights.safetensors", "resnet18")
    with pytest.raises(UserError, match="found none at"):
        read_weights(tmp_path / "none.safetensors", "resnet18")


@pytest.mark.parametrize("make", [mobilenet_v3_small, efficientnet_b0])
def test_the_classifier_is_thrown_away_wherever_it_is(make, tmp_path):
    net = make(num_classes=7)
    torch.save(net.state_dict(), tmp_path / "weights.pth")
    backbone = TorchvisionBackbone(3, make.__name__, weights=str(tmp_path / "weights.pth"))
    ours = backbone.net.state_dict()
    assert 0 < len(net.state_dict()) - len(ours) <= 2
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in ours.items())


def test_filters_for_grey_images_become_filters_for_colours(tmp_path):
    grey, net = small(), small()
    grey[0] = nn.Conv2d(1, 4, 3)
    load_weights(net, grey.state_dict(), tmp_path, "small", ("3",))
    image = torch.rand(1, 1, 5, 5)
    torch.testing.assert_close(net[0](image.repeat(1, 3, 1, 1)), grey[0](image))


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (lambda state: mobilenet_v3_small().state_dict(), "0 of 120 tensors in '.*', and no conv1.weight: give it a"),
        (lambda state: resnet34().state_dict(), "120 of 120 tensors in .*, and layer1.2.conv1.weight, which the netw"),
        (
            lambda state: state | {"layer1.0.conv2.weight": torch.zeros(64, 64, 1, 1)},
            r"119 of 120 tensors .*layer1.0.conv2.weight of shape \(64, 64, 1, 1\) instead of \(64, 64, 3, 3\)",
        ),
        (lambda state: without(state, "layer4.1"), "108 of 120 tensors in '.*', and no layer4.1.conv1.weight"),
        (lambda state: {"epoch": 3}, "it holds no state dict"),
        (lambda state: {"state_dict": {}}, "it holds no state dict"),
    ],
)
def test_weights_of_another_network(weights, said, state, tmp_path):
    torch.save(weights(state), tmp_path / "weights.pth")
    with pytest.raises(UserError, match=said) as error:
        TorchvisionBackbone(3, "resnet18", weights=str(tmp_path / "weights.pth"))
    assert "\n" not in str(error.value)


class Opens:
    def __reduce__(self):
        return open, ("/dev/null",)


@pytest.mark.parametrize("new_format", [True, False])
def test_no_code_in_a_file_runs(new_format, tmp_path):
    torch.save({"conv1.weight": Opens()}, tmp_path / "w.pth", _use_new_zipfile_serialization=new_format)
    with pytest.raises(UserError, match=r"cannot use '.*w.pth' as weights of resnet18 \(UnpicklingError: Weights only"):
        read_weights(tmp_path / "w.pth", "resnet18")


def test_archives_are_checked(tmp_path):
    torch.save({"weight": torch.zeros(50_000)}, tmp_path / "w.pth")
    packed = io.BytesIO()
    with (
        zipfile.ZipFile(tmp_path / "w.pth") as source,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for part in source.infolist():
            target.writestr(part.filename, source.read(part))
    (tmp_path / "w.pth").write_bytes(packed.getvalue())
    with pytest.raises(UserError, match="bytes would unpack to"):
        read_weights(tmp_path / "w.pth", "resnet18")
