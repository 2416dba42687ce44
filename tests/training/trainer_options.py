"""Options of the Trainer and callbacks that an interruption must not change: as plain data, and callbacks of one's own.

Each option has ``trainer``: keys and values; ``callbacks``: names, of Lightning or of this file, with their options;
``lr_scheduler``: a name of torch with its options.
"""

import torch
from lightning.pytorch import Callback


class Decay(Callback):
    """Shrinks the weights more in each epoch, at the end of the fit, and after it."""

    def __init__(self):
        self.epochs = 0

    def on_train_epoch_start(self, trainer, module):
        self.epochs += 1
        self._shrink(module, 0.01 * self.epochs)

    def on_train_end(self, trainer, module):
        self._shrink(module, 0.1)

    def on_fit_end(self, trainer, module):
        self._shrink(module, 0.1)

    @torch.no_grad()
    def _shrink(self, module, share):
        for parameter in module.parameters():
            parameter.mul_(1 - share)


class DecayWithState(Decay):
    def state_dict(self):
        return {"epochs": self.epochs}

    def load_state_dict(self, state):
        self.epochs = state["epochs"]


def stop(patience):
    return {"EarlyStopping": {"monitor": "train_loss", "mode": "max", "patience": patience}}


OPTIONS = {
    "max_steps": {"trainer": {"max_steps": 8}},
    "max_steps, within an epoch": {"trainer": {"max_steps": 7}},
    "EarlyStopping": {"callbacks": stop(2), "trainer": {"max_epochs": 5}},
    "min_epochs": {"callbacks": stop(0), "trainer": {"min_epochs": 4, "max_epochs": 5}},
    "min_steps": {"callbacks": stop(0), "trainer": {"min_steps": 10, "max_epochs": 5}},
    "EMAWeightAveraging": {"callbacks": {"EMAWeightAveraging": {"decay": 0.8}}},
    "EMAWeightAveraging, from an epoch": {
        "callbacks": {
            "EMAWeightAveraging": {"decay": 0.8, "update_every_n_steps": 0, "update_starting_at_epoch": 1}
        }
    },
    "WeightAveraging": {"callbacks": {"WeightAveraging": {}}},
    "StochasticWeightAveraging": {
        "callbacks": {"StochasticWeightAveraging": {"swa_lrs": 0.01, "swa_epoch_start": 2, "annealing_epochs": 1}}
    },
    "BackboneFinetuning": {"callbacks": {"BackboneFinetuning": {"unfreeze_backbone_at_epoch": 1, "verbose": False}}},
    "GradientAccumulationScheduler": {"callbacks": {"GradientAccumulationScheduler": {"scheduling": {0: 1, 1: 2}}}},
    "accumulate_grad_batches, clipping": {"trainer": {"accumulate_grad_batches": 2, "gradient_clip_val": 0.1}},
    "limit_train_batches": {"trainer": {"limit_train_batches": 0.7}},
    "LearningRateMonitor, Timer": {"callbacks": {"LearningRateMonitor": {}, "Timer": {"interval": "step"}}},
    "OneCycleLR": {"lr_scheduler": ("OneCycleLR", {"max_lr": 0.1, "total_steps": 4})},
    "CosineAnnealingLR": {"lr_scheduler": ("CosineAnnealingLR", {"T_max": 3})},
    "ReduceLROnPlateau": {"lr_scheduler": ("ReduceLROnPlateau", {"mode": "max", "patience": 0})},
    "callback with a state_dict": {"callbacks": {"DecayWithState": {}}},
    "callback without": {"callbacks": {"Decay": {}}},
}  # fmt: skip
