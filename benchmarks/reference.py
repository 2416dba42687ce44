"""As the reference toolkit (DeepAL+) trains and scores: one PIL image at a time, NCHW, float32, plain Adam."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.measure import device


class OneByOne(Dataset[tuple[Tensor, int]]):
    """An image becomes a PIL image, then a tensor, then is normalized.

    Args:
        image: (N, C, H, W) uint8.
        label: (N,) int64.
    """

    def __init__(self, image: Tensor, label: Tensor) -> None:
        self.image = image.permute(0, 2, 3, 1).squeeze(-1).numpy()
        self.label = label.tolist()
        channels = image.shape[1]
        self.transform = transforms.Compose(
            [transforms.ToTensor(), transforms.Normalize((0.5,) * channels, (0.3,) * channels)]
        )

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.image[index])), self.label[index]


class Network(nn.Module):
    """The same backbone and heads in PyTorch's own memory format."""

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone.to(memory_format=torch.contiguous_format)
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        """Logits."""
        logits: Tensor = self.head(F.dropout(self.backbone(images), 0.2, self.training))
        return logits


def epoch(network: nn.Module, optimizer: torch.optim.Optimizer, data: OneByOne) -> Iterator[None]:
    """An epoch's steps."""
    network.train()
    for images, labels in DataLoader(data, batch_size=128, shuffle=True, num_workers=1):
        images, labels = images.to(device()), labels.to(device())
        optimizer.zero_grad()
        loss = F.cross_entropy(network(images), labels)
        loss.backward()
        optimizer.step()
        yield


def probabilities(network: nn.Module, data: OneByOne) -> Tensor:
    """Softmax of the whole pool, kept on the host."""
    network.eval()
    with torch.no_grad():
        batches = DataLoader(data, batch_size=1_000, num_workers=1)
        return torch.cat([F.softmax(network(images.to(device())), dim=1).cpu() for images, _ in batches])
