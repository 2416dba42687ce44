"""A scikit-learn classifier: the paper's head on features, trained by its loss."""

import functools
from numbers import Integral
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor, nn

from msal_lightning.arrays.head_training import draw_weights, train
from msal_lightning.arrays.rows import StandardizedRows
from msal_lightning.data.batches.loading import Batch
from msal_lightning.errors import DataError
from msal_lightning.models.backbones import MLP
from msal_lightning.models.classifier import MSALClassifier
from msal_lightning.seeding import stream
from msal_lightning.strategies.outputs import row_axis

_TYPES = (np.float32, np.float64, np.float16)  # others become the first
_BLOCK = 8192  # rows


class MSALHeadClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn has no types
    """A classifier of features with fixed, maximally separated prototypes, or with a linear layer.

    It is the model of a loop with ``--model.backbone MLP``, as a scikit-learn estimator: ``clone``, ``Pipeline`` and
    ``GridSearchCV`` work. :meth:`outputs` gives :func:`~msal_lightning.select` what a strategy needs.

    Args:
        head: prototype: Linear(D, C-1) below fixed prototypes (Eq. 1); linear: Linear(D, C).
        radius: length of the prototypes, the paper's rho; the linear head ignores it.
        hidden: values of each hidden layer below the head, which a ReLU follows; by default there is none.
        dropout: probability of dropping a value before the head during training. Passes with dropout need it above 0.
        lr: learning rate of Adam.
        weight_decay: L2 penalty of Adam.
        max_steps: number of optimizer steps of a fit.
        batch_size: largest number of rows per step; batches of an epoch differ by one row at most.
        standardize: subtract the mean of each feature over the rows of the first fit, divide by its standard deviation.
        warm_start: a further fit goes on from the present weights. The classes must be the same.
        random_state: seed, or a generator of numpy, for weights, dropout and the order of rows; None draws a new seed
            each time. The global generators are never used.

    Attributes:
        classes_: (C,) the labels, sorted.
        n_features_in_: D.
        network_: the model, a :class:`~msal_lightning.MSALClassifier`.
        mean_: (D,) subtracted from the features.
        scale_: (D,) divides the features.
    """

    def __init__(
        self,
        head: Literal["prototype", "linear"] = "prototype",
        radius: float = 1.0,
        hidden: tuple[int, ...] = (),
        dropout: float = 0.2,
        lr: float = 0.01,
        weight_decay: float = 0.0,
        max_steps: int = 300,
        batch_size: int = 128,
        standardize: bool = True,
        warm_start: bool = False,
        random_state: Any = 0,
    ) -> None:
        self.head = head
        self.radius = radius
        self.hidden = hidden
        self.dropout = dropout
        self.lr = lr
        self.weight_decay = weight_decay
        self.max_steps = max_steps
        self.batch_size = batch_size
        self.standardize = standardize
        self.warm_start = warm_start
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:  # noqa: N803 - scikit-learn's name
        """Train the head.

        Args:
            X: (N, D) features.
            y: (N,) labels of at least two classes, of any type that scikit-learn takes.

        Raises:
            ValueError: features, labels or an option are wrong, or the loss has diverged.
        """
        self._check_numbers()
        goes_on = self.warm_start and hasattr(self, "network_")
        X, y = validate_data(self, X, y, dtype=_TYPES, reset=not goes_on)  # noqa: N806
        check_classification_targets(y)
        classes, target = np.unique(y, return_inverse=True)
        seed = _seed(self.random_state)
        if goes_on:
            self._check_classes(classes)
        else:
            self._start(X, classes, seed)
        x = _as_images(self._standardized(X).at(torch.arange(len(X))))
        weights = [*self.network_.parameters()]
        optimizer = torch.optim.Adam(weights, self.lr, weight_decay=self.weight_decay, fused=True)
        self.network_.dropout = nn.Dropout(self.dropout)  # a warm start, too, has the present options
        train(self.network_, optimizer, x, torch.from_numpy(target), self.batch_size, self.max_steps, seed)
        if not all(values.isfinite().all() for values in weights):
            raise ValueError(f"expected the loss to stay finite, got weights that are not: lower lr, now {self.lr}")
        return self

    def decision_function(self, X: Any) -> NDArray[np.float32]:  # noqa: N803
        """Return logits, (N, C); with two classes the logit of the second minus that of the first, (N,)."""
        logits = self._passes(self._checked(X), "logits")["logits"]
        return logits if logits.shape[1] > 2 else logits[:, 1] - logits[:, 0]

    def predict_proba(self, X: Any) -> NDArray[np.float32]:  # noqa: N803
        """Return the probability of each class, (N, C)."""
        logits = torch.from_numpy(self._passes(self._checked(X), "logits")["logits"])
        return logits.softmax(dim=1).numpy()

    def predict(self, X: Any) -> NDArray[Any]:  # noqa: N803
        """Return the most probable label of each row, (N,)."""
        best = self._passes(self._checked(X), "logits")["logits"].argmax(axis=1)
        found: NDArray[Any] = self.classes_[best]
        return found

    def outputs(
        self,
        X: Any,  # noqa: N803
        mc_samples: int = 0,
        shared_masks: bool = False,
        seed: int = 0,
    ) -> dict[str, NDArray[np.float32] | StandardizedRows]:
        """Return what strategies read, for :func:`~msal_lightning.select`.

        Args:
            X: (N, D) features.
            mc_samples: T, number of passes with dropout.
            shared_masks: one dropout mask a pass for all rows, as BatchBALD needs, instead of one for each row.
            seed: seed of the dropout masks.

        Returns:
            ``features`` (N, D') after standardization and hidden layers, ``logits`` (N, C), and with mc_samples also
            ``mc_logits`` (T, N, C). Without hidden layers the features are standardized when they are read, so that a
            large file needs no copy; ``numpy.asarray`` makes one.

        Raises:
            UserError: passes are wanted, but dropout is 0.
        """
        x = self._checked(X)
        masks = [stream(seed, "dropout", 0, t) for t in range(mc_samples)]
        self.network_.draw_dropout_masks(masks, shared_masks)
        try:
            found = self._passes(x, "logits", *["mc_logits"] * bool(masks), *["embeddings"] * bool(self.hidden))
        finally:
            self.network_.draw_dropout_masks([])
        return {"features": found.pop("embeddings", x), **found}

    def _check_numbers(self) -> None:
        for name in ("max_steps", "batch_size"):
            value = getattr(self, name)
            if not isinstance(value, Integral) or value < 1:
                raise ValueError(f"expected {name} to be a whole number of at least 1, got {value!r}")

    def _start(self, X: NDArray[Any], classes: NDArray[Any], seed: int) -> None:  # noqa: N803
        """Set what the first fit decides."""
        if len(classes) < 2:
            raise ValueError(f"expected labels of at least two classes, got one class, {classes[0]!r}: add others")
        self.classes_ = classes
        scaler = StandardScaler(with_mean=self.standardize, with_std=self.standardize).fit(X)
        self.mean_ = np.zeros(X.shape[1]) if scaler.mean_ is None else scaler.mean_
        self.scale_ = np.ones(X.shape[1]) if scaler.scale_ is None else scaler.scale_
        with torch.random.fork_rng(devices=[]):  # constructors draw weights from the global generator
            self.network_ = MSALClassifier(
                len(classes),
                X.shape[1],
                functools.partial(MLP, hidden=self.hidden),
                self.head,
                self.radius,
                self.dropout,
            )
        draw_weights(self.network_, seed)

    def _check_classes(self, classes: NDArray[Any]) -> None:
        if not np.array_equal(classes, self.classes_):
            raise ValueError(
                f"expected the classes of the first fit with warm_start, {self.classes_.tolist()}, got "
                f"{classes.tolist()}: set warm_start to False"
            )

    def _standardized(self, X: Any) -> StandardizedRows:  # noqa: N803
        return StandardizedRows(X, *(torch.from_numpy(values).float() for values in (self.mean_, self.scale_)))

    def _checked(self, X: Any) -> StandardizedRows:  # noqa: N803
        check_is_fitted(self)
        # the rows are checked when they are read: scikit-learn's check of float16 takes twice as long as all the rest
        return self._standardized(validate_data(self, X, dtype=_TYPES, reset=False, ensure_all_finite=False))

    def _passes(self, x: StandardizedRows, *names: str) -> dict[str, NDArray[np.float32]]:
        """Return outputs of the model for all rows, block by block."""
        found: dict[str, NDArray[np.float32]] = {}
        for rows in torch.split(torch.arange(len(x)), _BLOCK):
            with torch.inference_mode():
                outputs = self.network_.predict_step(Batch(rows, _as_images(_finite(x, rows)), rows), 0)
            for name in names:
                values, axis = outputs[name].numpy(), row_axis(name)
                if name not in found:
                    found[name] = np.empty((*values.shape[:axis], len(x), *values.shape[axis + 1 :]), dtype=np.float32)
                np.moveaxis(found[name], axis, 0)[rows.numpy()] = np.moveaxis(values, axis, 0)
        return found


def _finite(x: StandardizedRows, rows: Tensor) -> Tensor:
    """Read rows; a wrong one is the error that scikit-learn expects."""
    try:
        return x.at(rows)
    except DataError as error:
        raise ValueError(str(error)) from None


def _as_images(x: Tensor) -> Tensor:
    """Rows as the model takes them: (N, D) to (N, D, 1, 1)."""
    return x[:, :, None, None]


def _seed(random_state: Any) -> int:
    if random_state is None:
        return torch.Generator().seed()
    return int(check_random_state(random_state).randint(2**31 - 1))
