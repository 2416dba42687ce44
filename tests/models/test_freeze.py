"""Values of model.freeze, and what a backbone decides itself."""

import math

import pytest
from torch import nn

from msal_lightning import MSALClassifier
from msal_lightning.errors import UserError
from msal_lightning.models.backbones import SmallCNN
from msal_lightning.models.dry_run import try_model
from msal_lightning.models.freeze import FreezeBackbone, frozen_epochs


class PartlyFrozen(SmallCNN):
    def __init__(self, in_channels):
        super().__init__(in_channels, width=4)
        self.net[0].requires_grad_(False)


def test_what_a_backbone_freezes_itself_stays_frozen(make_trainer):
    module = MSALClassifier(10, 1, PartlyFrozen, freeze=1)
    (callback,) = module.configure_callbacks()
    trainer = make_trainer()
    for epoch in range(3):
        trainer.fit_loop.epoch_progress.current.processed = epoch
        trainer.fit_loop.epoch_progress.current.completed = epoch
        callback.on_train_epoch_start(trainer, module)
        trained = [name for name, p in module.backbone.named_parameters() if p.requires_grad]
        assert trained == ([] if epoch == 0 else [n for n, _ in module.backbone.named_parameters()][1:])


def test_epochs():
    assert [frozen_epochs(freeze) for freeze in ("none", "all", 3)] == [0, math.inf, 3]
    assert MSALClassifier(3, 1, SmallCNN).configure_callbacks() == []


@pytest.mark.parametrize("freeze", [0, -1, True, "some"])
def test_values_that_are_no_epochs(freeze):
    with pytest.raises(ValueError, match=f"expected model.freeze to be none, all or a number .*, got {freeze}"):
        MSALClassifier(3, 1, SmallCNN, freeze=freeze)


def test_a_backbone_that_would_never_be_trained():
    model = MSALClassifier(3, 1, SmallCNN, freeze=5)
    try_model(model, (1, 8, 8), 6)
    with pytest.raises(UserError, match=r"model.freeze to be less than trainer.max_epochs \(5\), .*, got 5: set it to"):
        try_model(model, (1, 8, 8), 5)
    try_model(MSALClassifier(3, 1, SmallCNN, freeze="all"), (1, 8, 8), 5)


def test_callbacks_of_a_model_that_forget_the_freezing():
    class Own(MSALClassifier):
        def configure_callbacks(self):
            return []

    try_model(Own(3, 1, SmallCNN), (1, 8, 8), 6)
    with pytest.raises(
        UserError, match=r"expected Own.configure_callbacks\(\) to give FreezeBackbone .*, got none: add"
    ):
        try_model(Own(3, 1, SmallCNN, freeze=2), (1, 8, 8), 6)


def test_several_processes(make_trainer):
    backbone = nn.Linear(2, 2)
    with pytest.raises(
        UserError, match=r"expected trainer.strategy ddp_find_unused_parameters_true with model.freeze 2"
    ):
        FreezeBackbone(backbone, 2).setup(make_trainer(strategy="ddp"), None, "fit")
    FreezeBackbone(backbone, 2).setup(make_trainer(strategy="ddp_find_unused_parameters_true"), None, "fit")
    FreezeBackbone(backbone.requires_grad_(False), math.inf).setup(make_trainer(strategy="ddp"), None, "fit")
