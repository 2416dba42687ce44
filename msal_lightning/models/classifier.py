"""The model: backbone → embedding → head, its loss, its metrics, and the only forward pass over the pool."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Self

import torch
import torch.nn.functional as F
from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Generator, Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torchmetrics import MeanMetric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy

from msal_lightning.data.batches.loading import Batch
from msal_lightning.errors import ConfigError
from msal_lightning.models import build_options
from msal_lightning.models.backbones import Backbone, ResNet18
from msal_lightning.models.class_results import ClassResults
from msal_lightning.models.class_weights import Weighting, check_weighting, weights_of_fit
from msal_lightning.models.freeze import Freeze, FreezeBackbone, frozen_epochs
from msal_lightning.models.learning_rates import LearningRates
from msal_lightning.models.mc_dropout import DropoutMasks
from msal_lightning.models.metrics import ClassMetrics
from msal_lightning.models.prototypes import LinearHead, PrototypeHead
from msal_lightning.training.callback_rules import VALIDATION_LOSS
from msal_lightning.training.eager_steps import EagerSteps
from msal_lightning.training.whole_epochs import EpochIndices


def _adam(parameters: Any) -> torch.optim.Optimizer:
    """The paper's optimizer (section 4.1)."""
    return torch.optim.Adam(parameters, lr=1e-3)


class MSALClassifier(LightningModule):
    """A classifier whose last layer is either fixed prototypes (the paper's Φ') or a trainable linear layer.

    Args:
        num_classes: C, from the data.
        in_channels: colour channels of the images, from the data.
        backbone: network below the head: ResNet18, SmallCNN, MLP, TorchvisionBackbone, TimmBackbone,
            EfficientNetLite0, or your own class.
        head: prototype: Linear(D, C-1) below fixed, maximally separated prototypes (Eq. 1); linear: Linear(D, C).
        radius: length of the prototypes, the paper's rho; the linear head ignores it.
        dropout: probability of dropping a value of the embedding during training. Use the same value above 0 for all
            strategies, so that MC-dropout strategies start from the same model as the others.
        optimizer: any class of torch.optim, with its options.
        lr_scheduler: any class of torch.optim.lr_scheduler, stepped once an epoch; ReduceLROnPlateau by train_loss.
        freeze: none: train the backbone too; all: train only the head; a number: only the head in as many epochs, then
            both. BatchNorm and dropout of a frozen backbone work as in evaluation.
        backbone_lr: learning rate of the backbone; that of the optimizer by default.
        class_weights: none: each label weighs the same in the loss; balanced: each class does, so that rare classes
            count. Losses of validation and test have no weights.
        layer_decay: each layer of the backbone has the learning rate of the layer above it times this number; the last
            layer has the backbone's. By default all layers have the same.

    A checkpoint holds these arguments, except for optimizer and lr_scheduler, so that
    ``MSALClassifier.load_from_checkpoint(FILE)`` needs no others; see :meth:`load_from_checkpoint`.

    Attributes:
        frozen_epochs: number of epochs of a fit that leave the backbone as it is, maybe infinity.
        test_classes: results of the last test for each class; None before the first test.

    Raises:
        ValueError: radius, dropout, freeze, a learning rate or number of classes is out of range, or the head is
            unknown.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        backbone: Callable[[int], Backbone] = ResNet18,
        head: Literal["prototype", "linear"] = "prototype",
        radius: float = 1.0,
        dropout: float = 0.2,
        optimizer: OptimizerCallable = _adam,
        lr_scheduler: LRSchedulerCallable | None = None,
        freeze: Freeze = "none",
        backbone_lr: float | None = None,
        layer_decay: float | None = None,
        class_weights: Weighting = "none",
    ) -> None:
        super().__init__()
        check_weighting(class_weights)
        self._options = {
            "num_classes": num_classes,
            "in_channels": in_channels,
            "head": head,
            "radius": radius,
            "dropout": dropout,
            "freeze": freeze,
            "backbone_lr": backbone_lr,
            "layer_decay": layer_decay,
            "class_weights": class_weights,
        }
        self._num_classes, self.weighting = num_classes, class_weights
        self._class_weights: Tensor | None = None  # of the fit in progress
        self.frozen_epochs = frozen_epochs(freeze)
        self._rates = LearningRates(backbone_lr, layer_decay)
        if self._rates.differ and freeze == "all":
            raise ValueError(
                "expected model.backbone_lr and model.layer_decay to be left out with model.freeze all, which trains "
                "only the head"
            )
        if not 0 <= dropout < 1:
            raise ValueError(f"model.dropout must be at least 0 and below 1, got {dropout}: 0.2 is the default")
        if num_classes < 2:
            raise ValueError(
                f"num_classes must be at least 2, got {num_classes}: a classifier distinguishes at least two classes"
            )
        if head not in ("prototype", "linear"):
            raise ValueError(f"expected model.head to be prototype or linear, got '{head}'")
        self.head_name = head
        # channels_last: convolutions in this layout are 1.3-1.4 times as fast on CPUs, and what tensor cores want
        self.backbone = backbone(in_channels).to(memory_format=torch.channels_last)
        if freeze == "all":
            self.backbone.requires_grad_(False)  # so that the optimizer does not hold it
        self.dropout = nn.Dropout(dropout)
        width = getattr(self.backbone, "out_features", None)
        if not isinstance(width, int):
            raise ValueError(
                f"expected model.backbone {type(self.backbone).__name__} to have out_features, the length of an "
                f"embedding, got {width}: set it in its constructor"
            )
        self.head: nn.Module
        if head == "prototype":
            prototypes = PrototypeHead(num_classes, radius)
            self.head = nn.Sequential(LinearHead(width, num_classes - 1), prototypes)
        else:
            self.head = LinearHead(width, num_classes)
        self._dropout_masks: DropoutMasks | None = None
        self._steps: EagerSteps | None = None
        self._optimizer = optimizer
        self._lr_scheduler = lr_scheduler
        self.test_metrics = MetricCollection(
            {
                # labels were checked when they were read; checking each batch would make a GPU wait for the host
                "accuracy": MulticlassAccuracy(num_classes, average="micro", validate_args=False),
            }
        )
        self.val_metrics = MetricCollection(
            {
                VALIDATION_LOSS: MeanMetric(),
                "val_accuracy": MulticlassAccuracy(num_classes, average="micro", validate_args=False),
            },
            compute_groups=False,
        )
        self.class_metrics = ClassMetrics(num_classes)
        self.test_classes: ClassResults | None = None

    def forward(self, images: Tensor) -> Tensor:
        """Logits of normalized images: (N, in_channels, H, W) to (N, C) float32."""
        logits: Tensor = self.head(self.dropout(self.embed(images)))
        return logits

    def embed(self, images: Tensor) -> Tensor:
        """Embeddings, the input of the dropout: (N, in_channels, H, W) to (N, D)."""
        embeddings: Tensor = self.backbone(images.contiguous(memory_format=torch.channels_last))
        return embeddings

    def loss(self, batch: Batch) -> Tensor:
        """Softmax cross-entropy of the logits (section 3.1), a scalar; with the weights of the classes, if asked."""
        return F.cross_entropy(self(batch.image), batch.label, self._class_weights)

    def on_fit_start(self) -> None:
        """Weigh the classes by the labels of this fit."""
        if self.weighting == "balanced":
            data = self.trainer.datamodule  # type: ignore[attr-defined]
            self._class_weights = weights_of_fit(data, self._num_classes).to(self.device)

    def training_step(self, batch: Batch | EpochIndices, batch_idx: int) -> Tensor | None:
        """Loss of a batch; or all steps of an epoch, see :meth:`train_whole_epochs`."""
        if isinstance(batch, EpochIndices):
            assert self._steps is not None
            self._steps.run(self, batch)
            return None
        loss = self.loss(batch)
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(batch.label), sync_dist=True)
        return loss

    def train_whole_epochs(self, steps: EagerSteps) -> None:
        """Train with a loader that gives an epoch at a time (``data.enter(whole_epochs=True)``).

        Args:
            steps: takes the optimizer steps.
        """
        self._steps = steps
        self.automatic_optimization = False

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Loss and accuracy of the part of the labeled set that is left out."""
        logits = self(batch.image)
        self.val_metrics[VALIDATION_LOSS].update(F.cross_entropy(logits, batch.label, reduction="none"))
        self.val_metrics["val_accuracy"].update(logits, batch.label)
        self.log_dict(self.val_metrics, on_epoch=True, batch_size=len(batch.label))

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Accuracy, loss and what :meth:`on_test_epoch_end` needs."""
        logits = self(batch.image)
        self.test_metrics.update(logits, batch.label)
        self.class_metrics.update(logits, batch.label)
        self.log("test_loss", F.cross_entropy(logits, batch.label), batch_size=len(batch.label), sync_dist=True)
        self.log_dict(self.test_metrics, on_epoch=True, batch_size=len(batch.label))

    def on_test_epoch_end(self) -> None:
        """Balanced accuracy, and the numbers of each class, over all processes."""
        self.test_classes = self.class_metrics.results()
        self.class_metrics.reset()
        self.log("balanced_accuracy", self.test_classes.balanced_accuracy, sync_dist=True)

    def draw_dropout_masks(self, generators: Sequence[Generator], shared: bool = False) -> None:
        """Make :meth:`predict_step` return ``mc_logits`` too, with one dropout pass for each generator.

        The backbone still runs once and in evaluation mode; only the head runs T times.

        Args:
            generators: T of them; none: no such passes.
            shared: one mask a pass for all images, instead of one for each.

        Raises:
            UserError: there is no dropout before the head.
        """
        size = self.backbone.out_features
        self._dropout_masks = (
            DropoutMasks(generators, self.dropout.p, size, shared, self.device) if generators else None
        )

    def predict_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> dict[str, Tensor]:
        """Return all outputs that a strategy may need, by dataset index, without labels.

        Returns:
            ``index`` (B,) int64, ``logits`` (B, C) and ``embeddings`` (B, D) float32, after
            :meth:`draw_dropout_masks` also ``mc_logits`` (T, B, C): fields of
            :class:`~msal_lightning.strategies.outputs.PoolOutputs`.
        """
        embeddings = self.embed(batch.image).float()
        outputs = {"index": batch.index, "logits": self.head(self.dropout(embeddings)), "embeddings": embeddings}
        if (masks := self._dropout_masks) is not None:
            passes = [self.head(masks.apply(embeddings, batch.index, t)) for t in range(len(masks))]
            outputs["mc_logits"] = torch.stack(passes)
        return outputs

    @property
    def build_options(self) -> dict[str, Any] | None:
        """Arguments that rebuild this model, as plain values; None if those of its backbone are not plain."""
        backbone = build_options.describe(self.backbone)
        return None if backbone is None else {**self._options, "backbone": backbone}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the arguments that rebuild this model."""
        if options := self.build_options:
            checkpoint[build_options.KEY] = options

    @classmethod
    def load_from_checkpoint(
        cls,
        checkpoint_path: Any,
        map_location: Any = None,
        hparams_file: Any = None,
        strict: bool | None = None,
        weights_only: bool | None = True,
        **arguments: Any,
    ) -> Self:
        """Open a checkpoint; no code in it is run.

        Args:
            checkpoint_path: a file in ``RUN/checkpoints``, or one that ``export`` or a Trainer wrote.
            map_location: device of the model, as in ``torch.load``.
            hparams_file: see Lightning.
            strict: see Lightning.
            weights_only: refuse code in the file.
            **arguments: arguments of the constructor in place of those in the file. A backbone of your own is found if
                its module has been imported; otherwise give it as ``backbone``.

        Raises:
            ConfigError: the file does not say how its model is built.
        """
        options = {} if "backbone" in arguments else cls._options_in(checkpoint_path, weights_only, arguments)
        return super().load_from_checkpoint(
            checkpoint_path, map_location, hparams_file, strict, weights_only, **{**options, **arguments}
        )

    @staticmethod
    def _options_in(file: Any, weights_only: bool | None, arguments: Mapping[str, Any]) -> dict[str, Any]:
        options = build_options.read_options(file, weights_only is not False)
        if options is None and not {"num_classes", "in_channels"} <= arguments.keys():
            raise ConfigError(
                f"expected '{file}' to say how its model is built, got a checkpoint of an older version, or with a "
                "backbone whose options are not plain values: give num_classes, in_channels and backbone too, or open "
                "its run with msal_lightning.load"
            )
        return options or {}

    def configure_callbacks(self) -> list[Callback]:
        """The callback that freezes the backbone; a model of your own adds to this list."""
        return [FreezeBackbone(self.backbone, self.frozen_epochs)] if self.frozen_epochs else []

    def configure_optimizers(self) -> Any:
        """The optimizer over what is trainable, and the schedule if there is one."""
        optimizer = self._optimizer(self._rates.groups(self, self.backbone))
        self._rates.set(optimizer)
        if self._lr_scheduler is None:
            return optimizer
        scheduler = self._lr_scheduler(optimizer)
        self._rates.check(optimizer, scheduler)
        if isinstance(scheduler, ReduceLROnPlateau):
            return [optimizer], [{"scheduler": scheduler, "monitor": getattr(scheduler, "monitor", "train_loss")}]
        return [optimizer], [scheduler]
