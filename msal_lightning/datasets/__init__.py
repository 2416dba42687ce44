"""Datasets, one small file for each; ``python -m msal_lightning datasets`` lists them."""

from msal_lightning.datasets.cifar import CIFAR10, CIFAR100
from msal_lightning.datasets.digits import Digits
from msal_lightning.datasets.embeddings import Embeddings
from msal_lightning.datasets.hf_dataset import HFDataset
from msal_lightning.datasets.image_folder import ImageFolder
from msal_lightning.datasets.mnist import MNIST, FashionMNIST
from msal_lightning.datasets.svhn import SVHN
from msal_lightning.datasets.tar_shards import TarShards
from msal_lightning.datasets.tiny_imagenet import TinyImageNet
from msal_lightning.datasets.torch_dataset import TorchDataset

__all__ = [
    "CIFAR10",
    "CIFAR100",
    "MNIST",
    "SVHN",
    "Digits",
    "Embeddings",
    "FashionMNIST",
    "HFDataset",
    "ImageFolder",
    "TarShards",
    "TinyImageNet",
    "TorchDataset",
]
