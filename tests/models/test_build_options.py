"""Checkpoints that open alone, against the model that wrote them."""

import sys
import types

import pytest
import torch
from torch import nn

from msal_lightning.errors import ConfigError
from msal_lightning.models.backbones import MLP, Backbone, SmallCNN, TorchvisionBackbone
from msal_lightning.models.classifier import MSALClassifier


class Mine(Backbone):
    """A backbone of a user, in a module that is imported."""

    def __init__(self, in_channels, width=3, sizes=(2, 2)):
        super().__init__()
        self.out_features = width
        self.net = nn.Conv2d(in_channels, width, 8)

    def forward(self, images):
        return self.net(images).flatten(1)


def save(make_trainer, model, file):
    trainer = make_trainer()
    trainer.strategy.connect(model)
    trainer.save_checkpoint(file, weights_only=True)
    return file


MADE = {
    "our class": lambda c: SmallCNN(c, width=2),
    "by name": lambda c: SmallCNN(width=2, in_channels=c),
    "a class of the user": lambda c: Mine(c, 5, sizes=(1, 2)),
}


@pytest.mark.parametrize(("kind", "head"), [("our class", "linear"), *((kind, "prototype") for kind in MADE)])
def test_a_checkpoint_opens_alone(make_trainer, tmp_path, kind, head):
    torch.manual_seed(0)
    model = MSALClassifier(3, 2, MADE[kind], head=head, radius=0.5, dropout=0.1, freeze=2).eval()
    file = save(make_trainer, model, tmp_path / "model.ckpt")
    loaded = MSALClassifier.load_from_checkpoint(file).eval()
    images = torch.rand(2, 2, 8, 8)
    with torch.inference_mode():
        assert torch.equal(loaded(images), model(images))
    assert type(loaded.backbone) is type(model.backbone)
    assert (loaded.dropout.p, loaded.frozen_epochs) == (0.1, 2)


def test_initial_weights_are_not_read_again(make_trainer, tmp_path):
    net = TorchvisionBackbone(3, "mobilenet_v3_small").net
    torch.save(net.state_dict(), tmp_path / "weights.pth")
    weights = str(tmp_path / "weights.pth")
    model = MSALClassifier(3, 3, lambda c: TorchvisionBackbone(c, "mobilenet_v3_small", weights=weights))
    file = save(make_trainer, model, tmp_path / "model.ckpt")
    (tmp_path / "weights.pth").unlink()
    loaded = MSALClassifier.load_from_checkpoint(file)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), loaded.parameters(), strict=True))


def test_arguments_replace_those_of_the_file(make_trainer, tmp_path):
    model = MSALClassifier(3, 2, lambda c: MLP(c, hidden=[4]))
    file = save(make_trainer, model, tmp_path / "model.ckpt")
    assert MSALClassifier.load_from_checkpoint(file, dropout=0.5).dropout.p == 0.5
    with file.open("rb") as opened:
        assert isinstance(MSALClassifier.load_from_checkpoint(opened).backbone, MLP)


def test_a_class_of_a_stranger_is_not_imported(make_trainer, tmp_path, monkeypatch):
    """The file names a module that would write a file when it is imported, and one that is no backbone."""
    model = MSALClassifier(3, 2, lambda c: MLP(c))
    file = save(make_trainer, model, tmp_path / "model.ckpt")
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'done')!r}, 'w')")
    monkeypatch.syspath_prepend(tmp_path)
    content = torch.load(file, weights_only=True)
    for path in (
        "evil.Net",
        "os.system",
        "msal_lightning.cli.main.main",
        "msal_lightning.nothing.Net",
        "torch.nn.ReLU",
    ):
        content["hyper_parameters"]["backbone"] = {"class_path": path, "init_args": {}}
        torch.save(content, tmp_path / "other.ckpt")
        with pytest.raises(ConfigError, match="import it first"):
            MSALClassifier.load_from_checkpoint(tmp_path / "other.ckpt")
    assert not (tmp_path / "done").exists()
    assert "evil" not in sys.modules
    MSALClassifier.load_from_checkpoint(tmp_path / "other.ckpt", backbone=lambda c: MLP(c))


def test_a_checkpoint_that_does_not_say(make_trainer, tmp_path):
    """A backbone whose option is no plain value, and one that is no Backbone at all."""
    flat = nn.Flatten()
    flat.out_features = 2
    for make in (lambda c: Mine(c, sizes=types.SimpleNamespace()), lambda c: flat):
        model = MSALClassifier(3, 2, make)
        file = save(make_trainer, model, tmp_path / "model.ckpt")
        assert "hyper_parameters" not in torch.load(file, weights_only=True)
        with pytest.raises(ConfigError, match="give num_classes, in_channels and backbone"):
            MSALClassifier.load_from_checkpoint(file)
        loaded = MSALClassifier.load_from_checkpoint(file, num_classes=3, in_channels=2, backbone=make)
        assert torch.equal(loaded.head[0].weight, model.head[0].weight)
