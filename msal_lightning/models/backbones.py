"""Networks from images to embeddings: everything below the head."""

import itertools
from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal, get_args

import torch
import torchvision
from torch import Tensor, nn

from msal_lightning.errors import ConfigError
from msal_lightning.io.suggestions import did_you_mean
from msal_lightning.models.encoder import Encoder
from msal_lightning.models.torchvision_weights import find_weights, preprocessing_of
from msal_lightning.models.weights_file import BACKBONE, fewer_colours, first_convolution, load_weights, read_weights

Stem = Literal["conv7", "conv3", "conv3_nopool"]


class Backbone(Encoder):
    """Maps images (N, in_channels, H, W) to embeddings (N, out_features), and can be trained.

    Attributes:
        out_features: D, length of an embedding.
        is_identity: whether embeddings are the values of the images, without a change.
    """

    out_features: int
    is_identity: bool = False

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
            raise ValueError(f"expected {BACKBONE}.stem to be one of {', '.join(get_args(Stem))}, got '{stem}'")
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
            raise ValueError(f"expected {BACKBONE}.width to be at least 1, got {width}: 32 is the default")
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


class MLP(Backbone):
    """Linear layers for features that another network has computed; without hidden layers the features themselves.

    Args:
        in_channels: number of features, from the data.
        hidden: values of each hidden layer, which a ReLU follows.

    Raises:
        ValueError: a hidden layer without values.
    """

    def __init__(self, in_channels: int, hidden: Sequence[int] = ()) -> None:
        super().__init__()
        if any(width < 1 for width in hidden):
            raise ValueError(
                f"expected {BACKBONE}.hidden to be at least 1 value a layer, got {[*hidden]}: 256 is usual"
            )
        widths = [in_channels, *hidden]
        self.out_features = widths[-1]
        self.is_identity = not hidden
        layers = [(nn.Linear(width, wider), nn.ReLU()) for width, wider in itertools.pairwise(widths)]
        self.net = nn.Sequential(nn.Flatten(), *itertools.chain.from_iterable(layers))

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, in_channels, 1, 1) to (N, out_features)."""
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
        weights: local file with a state dict of the network, with any classifier or none, of torch.save or safetensors;
            or a name of torchvision, IMAGENET1K_V1 for example, which is downloaded. Random weights by default.

    Raises:
        ConfigError: the architecture is unknown or unsuitable, or the weights are missing or of another network.
    """

    def __init__(self, in_channels: int, architecture: str, weights: str | None = None) -> None:
        super().__init__()
        net = _network(architecture)
        last = _last_linear(net, architecture)
        if weights is not None:
            path = find_weights(architecture, weights)
            self.preprocessing = preprocessing_of(architecture, path)
            load_weights(net, read_weights(path, architecture), path, architecture, (_classifier_of(net, last),))
        _adapt_first_convolution(net, in_channels)
        self.out_features: int = net.get_submodule(last).in_features  # type: ignore[assignment]
        net.set_submodule(last, nn.Identity())
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_features)."""
        embeddings: Tensor = self.net(images)
        return embeddings


def _network(architecture: str) -> nn.Module:
    known = torchvision.models.list_models(module=torchvision.models)
    if architecture not in known:
        near = did_you_mean(architecture, known) or f": {', '.join(known[:3])} are some of them"
        raise ConfigError(
            f"expected {BACKBONE}.architecture to be a classifier of torchvision, got '{architecture}'{near}"
        )
    net: nn.Module = torchvision.models.get_model(architecture, weights=None)
    if hasattr(net, "aux_logits"):
        net.aux_logits = False  # type: ignore[assignment] # GoogLeNet and Inception would return a tuple while training
    return net


def _adapt_first_convolution(net: nn.Module, in_channels: int) -> None:
    name, old = first_convolution(net) or ("", None)
    if old is None or old.in_channels == in_channels:
        return
    new = nn.Conv2d(
        in_channels,
        old.out_channels,
        kernel_size=old.kernel_size,  # type: ignore[arg-type]
        stride=old.stride,  # type: ignore[arg-type]
        padding=old.padding,  # type: ignore[arg-type]
        bias=old.bias is not None,
    )
    with torch.no_grad():
        new.weight.copy_(fewer_colours(old.weight, in_channels))
        if old.bias is not None and new.bias is not None:
            new.bias.copy_(old.bias)
    net.set_submodule(name, new)


def _last_linear(net: nn.Module, architecture: str) -> str:
    linears: list[str] = [
        name for name, m in net.named_modules() if isinstance(m, nn.Linear) and m.out_features == 1000
    ]
    if not linears:
        raise ConfigError(
            f"{BACKBONE}.architecture '{architecture}' does not end in a linear layer, so it has no embedding: "
            "choose another one, resnet50 for example"
        )
    return linears[-1]


def _classifier_of(net: nn.Module, last: str) -> str:
    """Return the name of the largest module that has no weights but those of the last linear layer."""
    weights, names = len(list(net.get_submodule(last).parameters())), last.split(".")
    around = [".".join(names[:end]) for end in range(1, len(names) + 1)]
    return next(name for name in around if len(list(net.get_submodule(name).parameters())) == weights)
