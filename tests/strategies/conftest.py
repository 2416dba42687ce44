"""Fixtures of the strategies' tests."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Largest(TorchDispatchMode):
    """Watches every operation of torch; ``numel`` is the size of the largest tensor that one made."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in filter(torch.is_tensor, tree_leaves(out)):
            self.numel = max(self.numel, tensor.untyped_storage().nbytes() // tensor.element_size())
        return out


@pytest.fixture
def largest_tensor():
    """A context whose ``numel`` says how much memory a query took at once: ``with ... as largest``."""
    return Largest
