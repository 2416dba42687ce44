"""Prototypes and heads against the paper's recursion (Eq. 1) and the cosine of Eq. 2, both in float64."""

import math
from functools import cache

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from msal_lightning.models.prototypes import (
    DENSE_UP_TO,
    LinearHead,
    PrototypeHead,
    cosine_to_prototypes,
    largest_cosine,
    simplex_prototypes,
)

BOTH_FORMS = [2, 3, 10, DENSE_UP_TO, DENSE_UP_TO + 1, 1000]


@cache
def recursion(num_classes):
    """Eq. 1 as printed: P_1 = (1 -1), P_k = [[1, -1/k 1ᵀ], [0, sqrt(1 - 1/k²) P_{k-1}]]; (C-1, C)."""
    prototypes = np.zeros((num_classes - 1, num_classes))  # P_k grows from the lower right corner
    prototypes[-1, -2:] = 1, -1
    for k in range(2, num_classes):
        prototypes[-k + 1 :, -k:] *= math.sqrt(1 - 1 / k**2)
        prototypes[-k, -k - 1] = 1
        prototypes[-k, -k:] = -1 / k
    return torch.from_numpy(prototypes)


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("num_classes", [*range(2, 21), 64, 100, 257, 1000])
def test_closed_form_is_the_recursion(num_classes):
    prototypes = simplex_prototypes(num_classes)
    assert prototypes.dtype == torch.float64
    torch.testing.assert_close(prototypes, recursion(num_classes), rtol=0, atol=1e-12)


@pytest.mark.parametrize("radius", [0.1, 1.0, 7.5])
@pytest.mark.parametrize("num_classes", [2, 3, 10, 100, 1000])
def test_gram_matrix_is_a_regular_simplex_of_the_radius(num_classes, radius):
    prototypes = simplex_prototypes(num_classes, radius)
    gram = torch.full((num_classes, num_classes), -(radius**2) / (num_classes - 1), dtype=torch.float64)
    gram.fill_diagonal_(radius**2)
    torch.testing.assert_close(prototypes.T @ prototypes, gram, rtol=0, atol=1e-12 * radius**2)
    torch.testing.assert_close(prototypes, radius * recursion(num_classes), rtol=0, atol=1e-12 * radius)


@pytest.mark.parametrize("build", [simplex_prototypes, PrototypeHead])
@pytest.mark.parametrize("num_classes", [1, 0, -3])
def test_fewer_than_two_classes_are_refused(build, num_classes):
    with pytest.raises(ValueError, match=f"num_classes must be at least 2, got {num_classes}"):
        build(num_classes)


@pytest.mark.parametrize("build", [simplex_prototypes, PrototypeHead])
@pytest.mark.parametrize("radius", [0.0, -1.0, math.inf, math.nan])
def test_bad_radius_is_refused(build, radius):
    with pytest.raises(ValueError, match=f"radius must be a positive number, got {radius}"):
        build(10, radius)


@pytest.mark.parametrize("radius", [0.1, 1.0, 30.0])
@pytest.mark.parametrize("num_classes", BOTH_FORMS)
def test_head_is_the_product_with_the_prototypes(num_classes, radius):
    x = normal(33, num_classes - 1)
    logits = PrototypeHead(num_classes, radius)(x)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits.double(), radius * x @ recursion(num_classes), rtol=1e-5, atol=1e-5 * radius)


@pytest.mark.parametrize("num_classes", BOTH_FORMS)
def test_head_has_nothing_to_train_or_to_save(num_classes):
    head = PrototypeHead(num_classes)
    assert list(head.parameters()) == []
    assert head.state_dict() == {}


@pytest.mark.parametrize("num_classes", BOTH_FORMS)
def test_head_passes_gradients_on(num_classes):
    x = normal(9, num_classes - 1, dtype=torch.float32).requires_grad_()
    weight = normal(9, num_classes, seed=1)
    (PrototypeHead(num_classes, radius=0.5)(x) * weight).sum().backward()
    expected = 0.5 * weight @ recursion(num_classes).T
    torch.testing.assert_close(x.grad.double(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("num_classes", [10, DENSE_UP_TO + 1])
def test_head_keeps_float32_under_autocast(num_classes):
    head = PrototypeHead(num_classes)
    x = normal(16, num_classes - 1, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        logits, from_half = head(x), head(x.bfloat16())
    assert torch.equal(logits, head(x))
    assert torch.equal(from_half, head(x.bfloat16().float()))


def test_linear_head_keeps_float32_under_autocast():
    head = LinearHead(64, 9)
    x = normal(16, 64, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        logits, from_half = head(x), head(x.bfloat16())
    assert logits.dtype == from_half.dtype == torch.float32
    expected = x.double() @ head.weight.double().T + head.bias.double()
    torch.testing.assert_close(logits.double(), expected, rtol=0, atol=1e-5)  # bfloat16 would be off by 1e-2
    from_half.sum().backward()
    torch.testing.assert_close(head.bias.grad, torch.full((9,), 16.0))


class LargestTensor(TorchDispatchMode):
    """Remembers the number of elements of the largest tensor that any operation gave."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else [out]:
            if isinstance(tensor, torch.Tensor):
                self.numel = max(self.numel, tensor.numel())
        return out


def test_head_of_100000_classes_is_linear_in_memory():
    num_classes, batch, radius = 100_000, 4, 0.5
    k = num_classes - 1
    x = normal(batch, k)
    with LargestTensor() as largest:
        head = PrototypeHead(num_classes, radius)
        logits = head(x)
    assert sum(buffer.numel() * buffer.element_size() for buffer in head.buffers()) < 2_000_000
    assert largest.numel <= batch * num_classes

    r = torch.arange(k, dtype=torch.float64)
    scale = (num_classes / k * (k - r) / (k - r + 1)).sqrt()
    for c in [0, 1, 2, 777, 50_000, k - 2, k - 1, k]:
        column = torch.cat([-scale[:c] / (k - r[:c]), scale[c : c + 1], torch.zeros(max(k - c - 1, 0))])
        torch.testing.assert_close(logits[:, c].double(), radius * x @ column, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("radius", [0.1, 1.0, 64.0])
@pytest.mark.parametrize("num_classes", [2, 3, 10, 100, 1000])
def test_cosine_is_that_of_embedding_and_prototype(num_classes, radius):
    x, prototypes = 3 * normal(50, num_classes - 1), recursion(num_classes)
    cosine = cosine_to_prototypes((radius * x @ prototypes).float())
    assert cosine.dtype == torch.float32
    expected = x @ prototypes / x.norm(dim=1, keepdim=True)
    torch.testing.assert_close(cosine.double(), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("num_classes", [2, 3, 10, 1000])
@pytest.mark.parametrize("magnitude", [1e-37, 1e-30, 1e-12, 1e12, 1e30, 1e37])
def test_cosine_does_not_depend_on_the_magnitude(num_classes, magnitude):
    x, prototypes = normal(50, num_classes - 1), recursion(num_classes)
    cosine = cosine_to_prototypes((magnitude * x @ prototypes).float())
    expected = x @ prototypes / x.norm(dim=1, keepdim=True)
    torch.testing.assert_close(cosine.double(), expected, rtol=0, atol=2e-6)


def test_cosine_of_logits_in_half_precision_is_float32():
    logits = (normal(20, 9) @ recursion(10)).bfloat16()
    assert torch.equal(cosine_to_prototypes(logits), cosine_to_prototypes(logits.float()))


def test_cosine_of_a_zero_row_is_zero():
    logits = torch.tensor([[0.0, 0.0, 0.0], [2.0, -1.0, -1.0]])
    expected = torch.tensor([[0.0, 0.0, 0.0], [1.0, -0.5, -0.5]])
    torch.testing.assert_close(cosine_to_prototypes(logits), expected)


@pytest.mark.parametrize("num_classes", [2, 3, 10, 20, 33, 100])  # 20: without care, rounding gives 1.0000001
def test_cosine_of_a_prototype_never_leaves_the_range(num_classes):
    prototypes = recursion(num_classes)
    for magnitude in (1e-3, 0.7, 1.0, 3.1, 1e3):
        logits = (magnitude * prototypes.T @ prototypes).float()
        cosine = torch.cat([cosine_to_prototypes(logits), cosine_to_prototypes(-logits)])
        assert cosine.min() >= -1
        assert cosine.max() <= 1
        torch.testing.assert_close(cosine[:num_classes].diagonal(), torch.ones(num_classes), rtol=0, atol=1e-6)


def test_cosine_of_an_empty_batch_is_empty():
    assert cosine_to_prototypes(torch.empty(0, 5)).shape == (0, 5)
    assert largest_cosine(torch.empty(0, 5)).shape == (0,)


@pytest.mark.parametrize("num_classes", [2, 3, 10, 1_000])
def test_largest_cosine_is_that_of_all_bit_by_bit(num_classes):
    logits = 3 * torch.randn(500, num_classes, generator=torch.Generator().manual_seed(num_classes))
    logits[0], logits[1], logits[2] = 0, logits[1] * 1e30, logits[2] * 1e-30
    assert torch.equal(largest_cosine(logits), cosine_to_prototypes(logits).amax(dim=1))
    assert torch.equal(largest_cosine(logits.bfloat16()), cosine_to_prototypes(logits.bfloat16()).amax(dim=1))
