"""A network that a local repository with a ``hubconf.py`` makes."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from msal_lightning.errors import ConfigError
from msal_lightning.models.encoder import Encoder
from msal_lightning.models.weights_file import load_weights, read_weights


class TorchHubModel(Encoder):
    """A network of torch.hub from a local repository. Its code is run, and nothing is downloaded but by that code.

    Args:
        in_channels: colour channels of the images.
        repo: folder of the repository, with ``hubconf.py``.
        entry_point: name of the function in ``hubconf.py``, ``dinov2_vits14`` for example.
        weights: local file with a state dict of the network; without it, the weights that the function gives.
        kwargs: arguments of the function, ``{pretrained: false}`` for example.
        head: name of the classifier in the network, ``fc`` for example, which is thrown away; the output of the network
            is the embedding otherwise.

    Raises:
        ConfigError: the function fails, or the weights are missing or of another network.
    """

    def __init__(
        self,
        in_channels: int,
        repo: str,
        entry_point: str,
        weights: str | None = None,
        kwargs: dict[str, Any] | None = None,
        head: str | None = None,
    ) -> None:
        super().__init__()
        if not (Path(repo) / "hubconf.py").is_file():
            raise ConfigError(f"expected --model.repo to be a folder with hubconf.py, got '{repo}': correct it")
        try:
            net = torch.hub.load(repo, entry_point, source="local", trust_repo=True, **(kwargs or {}))  # type: ignore[no-untyped-call]
        except Exception as error:  # the code of the repository may raise anything
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise ConfigError(
                f"expected --model.entry_point '{entry_point}' of '{repo}' to make a network, it failed ({reason:.160})"
                ": correct it, or set --model.kwargs"
            ) from None
        self.net = _checked(net, entry_point, head)
        if weights is not None:
            load_weights(
                self.net, read_weights(Path(weights), entry_point), Path(weights), entry_point, (head,) if head else ()
            )

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, D)."""
        embeddings: Tensor = self.net(images)
        return embeddings


def _checked(net: Any, entry_point: str, head: str | None) -> nn.Module:
    if not isinstance(net, nn.Module):
        raise ConfigError(
            f"expected --model.entry_point '{entry_point}' to make a torch.nn.Module, got a {type(net).__name__}: "
            "choose another function of hubconf.py"
        )
    if head is not None:
        if head not in dict(net.named_modules()):
            names = ", ".join(name for name, _ in net.named_children())
            raise ConfigError(f"expected --model.head to be a module of '{entry_point}' ({names}), got '{head}'")
        net.set_submodule(head, nn.Identity())
    return net
