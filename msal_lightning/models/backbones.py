"""Networks from images to embeddings: everything below the head."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Literal, get_args

import torch
import torchvision
from torch import Tensor, nn

from msal_lightning.errors import ConfigError
from msal_lightning.io.suggestions import did_you_mean

Stem = Literal["conv7", "conv3", "conv3_nopool"]
_KEY = "model.backbone.init_args"


class Backbone(nn.Module, ABC):
    """Maps images (N, in_channels, H, W) to embeddings (N, out_features).

    Attributes:
        out_features: D, length of an embedding.
    """

    out_features: int

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_features)."""


class ResNet18(Backbone):
    """ResNet-18 without pre-training, the paper's network (section 4.1).

    [0] He et al., 2016, Deep Residual Learning for Image Recognition, arXiv 1512.03385

    Args:
        in_channels: colour channels of the images, from the data.
        stem: the first layers. conv7: 7×7, stride 2, max-pool (the paper's MNIST and SVHN); conv3: 3×3, stride 1,
            max-pool (its reference toolkit on CIFAR); conv3_nopool: 3×3, no pool (the usual ResNet-18 of CIFAR).

    Raises:
        ValueError: another stem.
    """

    def __init__(self, in_channels: int, stem: Stem = "conv7") -> None:
        super().__init__()
        if stem not in get_args(Stem):
            raise ValueError(f"expected {_KEY}.stem to be one of {', '.join(get_args(Stem))}, got '{stem}'")
        net = torchvision.models.resnet18(weights=None)
        net.conv1 = (
            nn.Conv2d(in_channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
            if stem == "conv7"
            else nn.Conv2d(in_channels, 64, kernel_size=3, stride=1, padding=1, bias=False)
        )
        nn.init.kaiming_normal_(net.conv1.weight, mode="fan_out", nonlinearity="relu")
        if stem == "conv3_nopool":
            net.maxpool = nn.Identity()
        self.out_features: int = net.fc.in_features
        net.fc = nn.Identity()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, 512)."""
        embeddings: Tensor = self.net(images)
        return embeddings


class SmallCNN(Backbone):
    """Three convolutions for images as small as 8×8 digits; trains in seconds on one CPU core.

    Args:
        in_channels: colour channels of the images, from the data.
        width: channels of the first convolution; the embedding has 4 × width values.

    Raises:
        ValueError: a width below 1.
    """

    def __init__(self, in_channels: int, width: int = 32) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"expected {_KEY}.width to be at least 1, got {width}: 32 is the default")
        self.out_features = 4 * width
        self.net = nn.Sequential(
            *_block(in_channels, width),
            *_block(width, 2 * width),
            nn.MaxPool2d(2),
            *_block(2 * width, 4 * width),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, 4 × width)."""
        embeddings: Tensor = self.net(images)
        return embeddings


def _block(in_channels: int, out_channels: int) -> tuple[nn.Module, nn.Module, nn.Module]:
    convolution = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False)
    return convolution, nn.BatchNorm2d(out_channels), nn.ReLU()


class TorchvisionBackbone(Backbone):
    """Any classifier of torchvision by name, without its last linear layer.

    Args:
        in_channels: colour channels of the images, from the data. If the first convolution expects another number, it
            is replaced, and pre-trained filters are averaged over their colours.
        architecture: a name from ``torchvision.models.list_models()``, for example ``efficientnet_b0``.
        weights: local file with the state dict of the whole network; random weights by default.

    Raises:
        ConfigError: the architecture is unknown or unsuitable, or the weights are missing or of another network.
    """

    def __init__(self, in_channels: int, architecture: str, weights: str | None = None) -> None:
        super().__init__()
        net = _classifier(architecture)
        if weights is not None:
            _load(net, architecture, Path(weights))
        _adapt_first_convolution(net, in_channels)
        self.out_features = _take_off_last_linear(net, architecture)
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_features)."""
        embeddings: Tensor = self.net(images)
        return embeddings


def _classifier(architecture: str) -> nn.Module:
    known = torchvision.models.list_models(module=torchvision.models)
    if architecture not in known:
        near = did_you_mean(architecture, known) or f": {', '.join(known[:3])} are some of them"
        raise ConfigError(f"expected {_KEY}.architecture to be a classifier of torchvision, got '{architecture}'{near}")
    net: nn.Module = torchvision.models.get_model(architecture, weights=None)
    if hasattr(net, "aux_logits"):
        net.aux_logits = False  # type: ignore[assignment] # GoogLeNet and Inception would return a tuple while training
    return net


def _load(net: nn.Module, architecture: str, path: Path) -> None:
    remedy = f"give {_KEY}.weights the state dict that torchvision publishes for {architecture}"
    try:
        net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except FileNotFoundError:
        raise ConfigError(f"expected {_KEY}.weights to be a file, found none at '{path}': {remedy}") from None
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise ConfigError(f"cannot use '{path}' as weights of {architecture} ({reason:.160}): {remedy}") from None


def _adapt_first_convolution(net: nn.Module, in_channels: int) -> None:
    name, old = next((name, m) for name, m in net.named_modules() if isinstance(m, nn.Conv2d))
    if old.in_channels == in_channels:
        return
    new = nn.Conv2d(
        in_channels,
        old.out_channels,
        kernel_size=old.kernel_size,  # type: ignore[arg-type]
        stride=old.stride,  # type: ignore[arg-type]
        padding=old.padding,  # type: ignore[arg-type]
        bias=old.bias is not None,
    )
    with torch.no_grad():  # scaled, so that the layer's output keeps its size
        new.weight.copy_(old.weight.mean(dim=1, keepdim=True) * (old.in_channels / in_channels))
        if old.bias is not None and new.bias is not None:
            new.bias.copy_(old.bias)
    net.set_submodule(name, new)


def _take_off_last_linear(net: nn.Module, architecture: str) -> int:
    linears = [(name, m) for name, m in net.named_modules() if isinstance(m, nn.Linear) and m.out_features == 1000]
    if not linears:
        raise ConfigError(
            f"{_KEY}.architecture '{architecture}' does not end in a linear layer, so it has no embedding: "
            "choose another one, resnet50 for example"
        )
    name, last = linears[-1]
    net.set_submodule(name, nn.Identity())
    return last.in_features
