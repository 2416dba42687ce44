"""The memory of a step, against numbers counted by hand."""

import torch
from torch import nn

from msal_lightning import MSALClassifier
from msal_lightning.models.backbones import Backbone
from msal_lightning.models.cost import step_bytes


class TwoLayers(Backbone):
    """12 pixels → 5 → 3 values."""

    def __init__(self, in_channels):
        super().__init__()
        self.out_features = 3
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 3))

    def forward(self, images):
        return self.net(images)


def test_memory_of_a_step_is_what_its_layers_keep():
    model = MSALClassifier(4, 3, TwoLayers, head="linear", dropout=0.0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    # kept of an image: its 12 pixels, the 5 values after the ReLU, the 3 of the embedding
    parameters = 12 * 5 + 5 + 5 * 3 + 3 + 3 * 4 + 4
    assert step_bytes(model, (3, 2, 2), 10) == 4 * (2 * parameters + 10 * (12 + 5 + 3))
    assert step_bytes(model, (3, 2, 2), 10, value_bytes=2) == 4 * 2 * parameters + 2 * 10 * (12 + 5 + 3)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert model.training


def test_a_frozen_backbone_needs_no_gradients():
    model = MSALClassifier(4, 3, TwoLayers, head="linear", dropout=0.0, freeze="all")
    backbone, head = 12 * 5 + 5 + 5 * 3 + 3, 3 * 4 + 4
    before = torch.get_rng_state()
    assert step_bytes(model, (3, 2, 2), 10) == 4 * (backbone + 2 * head + 10 * 3)  # the head keeps the embedding
    assert torch.equal(torch.get_rng_state(), before)
