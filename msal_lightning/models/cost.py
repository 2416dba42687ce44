"""The work of an optimizer step, counted without running one."""

from collections.abc import Sequence

import torch
from torch.utils.flop_counter import FlopCounterMode

from msal_lightning.models.classifier import MSALClassifier


def step_flop(model: MSALClassifier, image: Sequence[int], batch_size: int) -> float:
    """Return the floating-point operations of an optimizer step: those of three forward passes.

    Args:
        model: a model on the CPU; nothing in it changes.
        image: (C, H, W) of an image.
        batch_size: images of a step.
    """
    training = model.training
    with torch.no_grad(), FlopCounterMode(display=False) as counted:
        model.eval()(torch.zeros(1, *image))
    model.train(training)
    flop: int = counted.get_total_flops()
    return 3.0 * batch_size * flop
