"""Pre-trained weights of torchvision by name, and the preprocessing that belongs to a file of them."""

import re
from pathlib import Path
from typing import Any

import torch
import torchvision

from msal_lightning.data.images.preprocessing import Preprocessing
from msal_lightning.errors import ConfigError
from msal_lightning.models.weights_file import KEY


def find_weights(architecture: str, weights: str) -> Path:
    """Return the file of some weights; those that have a name in torchvision are downloaded once.

    Args:
        architecture: a classifier of torchvision.
        weights: path of a file, or a name like IMAGENET1K_V1 or DEFAULT.

    Raises:
        ConfigError: the download failed.
    """
    named = torchvision.models.get_model_weights(architecture).__members__
    if weights not in named or Path(weights).exists():
        return Path(weights)
    url: str = named[weights].url
    file = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        digest = re.search(r"-([a-f0-9]{8,})\.", file.name)  # torch compares it with the file
        try:
            torch.hub.download_url_to_file(url, str(file), hash_prefix=digest[1] if digest else None)
        except (OSError, RuntimeError) as error:
            raise ConfigError(
                f"cannot download the weights {weights} of {architecture} from '{url}' ({error}): fetch the file on a "
                f"machine with a network, and set {KEY} to it"
            ) from None
    return file


def preprocessing_of(architecture: str, file: Path) -> Preprocessing:
    """Return the preprocessing that torchvision documents for a file of weights.

    Args:
        architecture: a classifier of torchvision.
        file: its weights; a file without the name that torchvision gave it counts as one of the default weights.
    """
    weights = torchvision.models.get_model_weights(architecture)
    named = (member for member in weights if member.url.rpartition("/")[2] == file.name)
    made: Any = next(named, weights.DEFAULT).transforms()
    return Preprocessing(
        size=made.crop_size[0],
        resize=made.resize_size[0],
        interpolation=made.interpolation.value,
        mean=tuple(made.mean),
        std=tuple(made.std),
    )
