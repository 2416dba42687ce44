"""scikit-learn's bundled digits."""

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.data.batches.loading import ImageSet


class Digits(ActiveDataModule):
    """scikit-learn's 8×8 digits: 10 classes, 1,297 to train on, 500 to test; nothing to download."""

    mean = (0.305,)
    std = (0.376,)
    class_names = tuple("0123456789")
    source = "scikit-learn"

    def load(self) -> tuple[ImageSet, ImageSet]:
        """Split off 500 stratified test images, the same for every seed."""
        digits = load_digits()
        image = torch.from_numpy(digits.images * (255 / 16)).round().to(torch.uint8)[:, None]  # 0..16 to 0..255
        label = torch.from_numpy(digits.target).long()
        learn, test = train_test_split(torch.arange(len(label)), test_size=500, stratify=label, random_state=0)
        return ImageSet(image[learn], label[learn]), ImageSet(image[test], label[test])
