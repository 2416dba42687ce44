"""The work and the memory of an optimizer step, counted without running one."""

import copy
from collections.abc import Sequence

import torch
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor
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


def step_bytes(model: MSALClassifier, image: Sequence[int], batch_size: int, value_bytes: int = 4) -> float:
    """Return the memory that an optimizer step needs at least: weights, gradients, and what the backward pass reads.

    The state of the optimizer, and what kernels need for themselves, come on top.

    Args:
        model: a model on the CPU; nothing in it changes, nor the global random state.
        image: (C, H, W) of an image.
        batch_size: images of a step, on one device.
        value_bytes: bytes of a value that is kept for the backward pass: 4, or 2 in half precision.
    """
    model = copy.deepcopy(model).train()
    weights = sum(p.nbytes for p in model.parameters())
    gradients = sum(p.nbytes for p in model.parameters() if p.requires_grad)
    own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    kept: dict[int, Tensor] = {}  # by address; held, so that no address is used twice

    def keep(tensor: Tensor) -> Tensor:
        if (address := tensor.untyped_storage().data_ptr()) not in own:
            kept[address] = tensor
        return tensor

    images = 2  # BatchNorm does not train on one
    with isolate_rng(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(torch.zeros(images, *image)).sum()
    values = sum(tensor.untyped_storage().nbytes() / 4 for tensor in kept.values())
    return weights + gradients + values / images * batch_size * value_bytes
