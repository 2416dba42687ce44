"""Predictions of a model for a few images, outside of the pool pass."""

from typing import NamedTuple

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.data.batches.loading import Batch
from msal_lightning.models.classifier import MSALClassifier


class Predictor(NamedTuple):
    """A model, with the Trainer that knows its device and precision.

    It makes a separate pass, because strategies may not need logits and outputs are kept only for a shortlist.

    Attributes:
        model: a round's model.
        trainer: the same round's Trainer.
    """

    model: MSALClassifier
    trainer: Trainer

    def probabilities(self, data: ActiveDataModule, index: Tensor) -> Tensor:
        """Softmax of the logits, on the device and in the precision of the pool pass.

        Args:
            data: owns the images.
            index: (n,) int64, dataset-absolute.

        Returns:
            (n, C) float32, on the CPU.
        """
        model, trainer = self
        before, device, was_training = model.device, trainer.strategy.root_device, model.training
        model.to(device).eval()
        found = list[Tensor]()
        # eager: a compiled network would be compiled once more for so few images
        with (
            torch.inference_mode(),
            trainer.precision_plugin.predict_step_context(),
            torch.compiler.set_stance("force_eager"),
        ):
            for part in torch.split(index, data.images_per_eval_step):
                batch = data.scale(Batch(part, data.images[part].to(device), torch.full_like(part, -1)))
                found.append(model(batch.image).float().softmax(dim=1).cpu())
        model.train(was_training).to(before)
        return torch.cat(found)
