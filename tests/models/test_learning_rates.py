"""Groups of parameters and their learning rates, by hand."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, OneCycleLR, ReduceLROnPlateau, StepLR

from msal_lightning import MSALClassifier
from msal_lightning.data.batches.loading import Batch
from msal_lightning.errors import UserError
from msal_lightning.models.backbones import ResNet18, SmallCNN, TorchvisionBackbone
from msal_lightning.models.learning_rates import LearningRates, layers
from msal_lightning.models.timm_backbone import TimmBackbone

sgd = partial(torch.optim.SGD, lr=0.1)


def names_of_layers(backbone):
    """Names of the modules of each layer, without the last part."""
    names = {id(p): name for name, p in backbone.named_parameters()}
    return [[names[id(p)] for p in layer] for layer in layers(backbone)]


def configured(model):
    made = model.configure_optimizers()
    return made[0][0] if isinstance(made, tuple) else made


def rates(model):
    """The learning rate of each parameter."""
    names = {id(p): name for name, p in model.named_parameters()}
    groups = configured(model).param_groups
    found = {names[id(p)]: group["lr"] for group in groups for p in group["params"]}
    assert sum(len(group["params"]) for group in groups) == len(found) == len(names)
    return found


def test_a_rate_for_the_backbone():
    model = MSALClassifier(3, 1, partial(SmallCNN, width=4), optimizer=sgd, backbone_lr=0.02)
    assert {name: (0.02 if name.startswith("backbone") else 0.1) for name, _ in model.named_parameters()} == rates(
        model
    )
    assert len(configured(model).param_groups) == 2
    assert len(configured(MSALClassifier(3, 1, SmallCNN, optimizer=sgd)).param_groups) == 1


def test_each_layer_has_half_of_the_one_above():
    model = MSALClassifier(3, 3, ResNet18, optimizer=sgd, backbone_lr=0.04, layer_decay=0.5)
    found = rates(model)
    blocks = ["conv1", "layer1.0", "layer1.1", "layer2.0", "layer2.1", "layer3.0", "layer3.1", "layer4.0", "layer4.1"]
    by_hand = [0.00015625, 0.0003125, 0.000625, 0.00125, 0.0025, 0.005, 0.01, 0.02, 0.04]
    for block, rate in zip(blocks, by_hand, strict=True):
        (these,) = {lr for name, lr in found.items() if name.startswith(f"backbone.net.{block}.")}
        assert these == pytest.approx(rate), block
    assert found["backbone.net.bn1.weight"] == found["backbone.net.conv1.weight"]
    assert found["head.0.weight"] == 0.1
    without_own = rates(MSALClassifier(3, 1, partial(SmallCNN, width=4), optimizer=sgd, layer_decay=0.5))
    assert sorted(set(without_own.values())) == pytest.approx([0.025, 0.05, 0.1])


def test_layers_of_other_networks():
    small = names_of_layers(SmallCNN(1))
    assert small == [[f"net.{k}.weight", f"net.{k + 1}.weight", f"net.{k + 1}.bias"] for k in (0, 3, 7)]
    swin = [layer[0].rsplit(".", 2)[0] for layer in names_of_layers(TorchvisionBackbone(3, "swin_t"))]
    assert swin[0] == "net.features.0"
    assert len(swin) == 1 + 12 + 3  # patches, blocks, mergings; the last norm belongs to the last block
    single = nn.Linear(2, 2)
    assert layers(single) == [[single.weight, single.bias]]


def test_layers_of_a_network_with_tokens():
    pytest.importorskip("timm")
    found = names_of_layers(TimmBackbone(3, "vit_tiny_patch16_224"))
    assert len(found) == 1 + 12
    assert {"net.cls_token", "net.pos_embed", "net.patch_embed.proj.weight"} <= set(found[0])
    assert {"net.norm.weight", "net.blocks.11.mlp.fc2.weight"} <= set(found[-1])


def test_a_step_moves_each_weight_by_its_rate():
    torch.manual_seed(0)
    model = MSALClassifier(3, 1, partial(SmallCNN, width=4), optimizer=sgd, backbone_lr=0.02, layer_decay=0.5)
    optimizer = configured(model)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    model.loss(Batch(torch.arange(6), torch.randn(6, 1, 8, 8), torch.arange(6) % 3)).backward()
    optimizer.step()
    by_hand = {"backbone.net.0": 0.005, "backbone.net.3": 0.01, "backbone.net.7": 0.02, "head.0": 0.1}
    for start, rate in by_hand.items():
        name = f"{start}.weight"
        parameter = dict(model.named_parameters())[name]
        torch.testing.assert_close(parameter.detach(), before[name] - rate * parameter.grad)


@pytest.mark.parametrize(
    ("schedule", "share"),
    [
        (partial(StepLR, step_size=1, gamma=0.1), 0.1),
        (partial(CosineAnnealingLR, T_max=2), 0.5),
        (partial(LambdaLR, lr_lambda=lambda epoch: epoch / 4), 0.25),
        (partial(ReduceLROnPlateau, mode="max", patience=0, factor=0.2), 0.2),
    ],
)
def test_schedules_scale_every_group(schedule, share):
    model = MSALClassifier(
        3, 1, partial(SmallCNN, width=4), optimizer=sgd, lr_scheduler=schedule, backbone_lr=0.02, layer_decay=0.5
    )
    (optimizer,), (made,) = model.configure_optimizers()
    if isinstance(made, dict):
        made["scheduler"].step(1.0)
        made["scheduler"].step(0.0)
    else:
        optimizer.step()
        made.step()
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx(
        [rate * share for rate in (0.1, 0.02, 0.01, 0.005)]
    )


def test_a_schedule_that_sets_the_rates_itself():
    cycle = partial(OneCycleLR, max_lr=0.1, total_steps=5)
    with pytest.raises(UserError, match=r"model.lr_scheduler OneCycleLR sets the learning rates itself, so that"):
        MSALClassifier(3, 1, SmallCNN, lr_scheduler=cycle, backbone_lr=0.01).configure_optimizers()
    by_group = partial(OneCycleLR, max_lr=[0.1, 0.01], total_steps=5)
    MSALClassifier(3, 1, SmallCNN, lr_scheduler=by_group, backbone_lr=0.01).configure_optimizers()
    MSALClassifier(3, 1, SmallCNN, lr_scheduler=cycle).configure_optimizers()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"backbone_lr": 0}, "model.backbone_lr to be above 0, got 0"),
        ({"backbone_lr": float("nan")}, "model.backbone_lr to be above 0, got nan"),
        ({"layer_decay": 1.5}, "model.layer_decay to be above 0 and at most 1, got 1.5"),
        ({"layer_decay": 0.5, "freeze": "all"}, "model.layer_decay to be left out with model.freeze all"),
    ],
)
def test_wrong_values(options, said):
    with pytest.raises(ValueError, match=said):
        MSALClassifier(3, 1, SmallCNN, **options)


def test_an_optimizer_without_a_rate():
    class NoRate(torch.optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {})

    with pytest.raises(UserError, match=r"expected an optimizer with a learning rate .*, got NoRate: leave both out"):
        LearningRates(0.1).set(NoRate([{"params": [torch.zeros(1, requires_grad=True)]}]))
