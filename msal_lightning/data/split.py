"""The split of a dataset: the place and the known label of each image, and all moves between places."""

import hashlib
from typing import Any

import torch
from torch import Generator, Tensor

from msal_lightning.data.class_change import ClassChange
from msal_lightning.data.label_guard import refuse_if_forbidden
from msal_lightning.data.labels import UNKNOWN, HiddenLabels
from msal_lightning.data.places import Place
from msal_lightning.data.split_digest import SplitDigest


class Split:
    """The places of a dataset's images: one integer for each image.

    Args:
        hidden_labels: the labels that came with the images.
        test_only: (N,) bool, images that may be labeled to test on, and that no query sees; None for none.

    Attributes:
        labeled_at: (N,) int32: k for an image that is trained on from round k, 0 for the initial set, or a
            :class:`~msal_lightning.data.places.Place`. It is the split, the history and the checkpoint.
        num_removed_labels: number of labeled images that were removed.
        pseudo_labels: indices and labels of images of the pool that the next fit trains on as if they were labeled.
    """

    pseudo_labels: tuple[Tensor, Tensor]

    def __init__(self, hidden_labels: HiddenLabels, test_only: Tensor | None = None) -> None:
        self.hidden_labels = hidden_labels
        self.test_only = test_only
        self.labeled_at = torch.full((len(hidden_labels.known),), Place.POOL, dtype=torch.int32)
        self._labels = torch.full((len(hidden_labels.known),), UNKNOWN, dtype=torch.int32)
        self._digest = SplitDigest()
        self.num_removed_labels = 0
        self.clear_pseudo_labels()

    # ---------------------------------------------------------------- parts

    @property
    def labels(self) -> Tensor:
        """Known labels, (N,) int32; -1 where none was queried.

        Raises:
            LabelAccessError: a query is being computed.
        """
        refuse_if_forbidden()
        return self._labels

    @property
    def labeled(self) -> Tensor:
        """Indices of the labeled set, ascending."""
        return (self.labeled_at >= 0).nonzero()[:, 0]

    @property
    def pool(self) -> Tensor:
        """Indices of the pool, ascending."""
        return self.in_pool.nonzero()[:, 0]

    @property
    def in_pool(self) -> Tensor:
        """Whether each image is in the pool, (N,) bool."""
        in_pool = self.labeled_at == Place.POOL
        return in_pool if self.test_only is None else in_pool & ~self.test_only

    @property
    def trainable(self) -> Tensor:
        """Whether each image is trained on, or may be later: labeled, reserved, or in the pool; (N,) bool."""
        return self.in_pool | (self.labeled_at >= 0) | (self.labeled_at == Place.RESERVED)

    @property
    def held_out(self) -> Tensor:
        """Indices of the images that were labeled to test on, ascending."""
        return self._at(Place.HELD_OUT)

    def _at(self, place: Place) -> Tensor:
        return (self.labeled_at == place).nonzero()[:, 0]

    def initial_order(self, generator: Generator) -> Tensor:
        """Indices of the pool in random order; images whose labels came with them go first where others have none.

        Args:
            generator: draws the order.
        """
        drawn = self._shuffled(self.in_pool, generator)
        known = self.hidden_labels.known[drawn]
        if bool(known.all()):
            return drawn
        return torch.cat([drawn[known], drawn[~known]])

    def test_order(self, generator: Generator) -> Tensor:
        """Indices of the images in ``test_only``, in the same kind of order; none without any.

        Args:
            generator: draws the order.
        """
        if self.test_only is None:
            return torch.empty(0, dtype=torch.int64)
        drawn = self._shuffled(self.test_only & (self.labeled_at == Place.POOL), generator)
        known = self.hidden_labels.known[drawn]
        return torch.cat([drawn[known], drawn[~known]])

    @staticmethod
    def _shuffled(chosen: Tensor, generator: Generator) -> Tensor:
        order = torch.randperm(int(chosen.sum()), generator=generator)
        return order if bool(chosen.all()) else chosen.nonzero()[:, 0][order]  # of ten million, each copy takes 80 MB

    # ---------------------------------------------------------------- moves

    def reset(self, keep: Tensor | None = None) -> None:
        """Put all images into the pool and forget all labels.

        Args:
            keep: (N,) bool, the images of a long-tailed version; None: all.
        """
        self.hidden_labels.reset()
        self.num_removed_labels = 0
        self.labeled_at.fill_(Place.POOL)
        self._labels.fill_(UNKNOWN)
        self._digest = SplitDigest()
        if keep is not None:
            self._put((~keep).nonzero()[:, 0], Place.LEFT_OUT)
        self.clear_pseudo_labels()

    def label(self, index: Tensor, trained_from: int) -> Tensor:
        """Reveal labels that came with the images, and move these out of the pool.

        Args:
            index: (n,) int64 of images in the pool.
            trained_from: the round from which they are trained on, 0 for the initial set.

        Returns:
            (n,) int64, their labels.

        Raises:
            ValueError: an index is given twice, is out of range, or is not in the pool. Nothing is moved then.
        """
        self._check_in_pool(index)
        labels = self.hidden_labels.label(index)
        self._put(index, trained_from, labels)
        return labels

    def restore(self, index: Tensor, labels: Tensor, labeled_at: int) -> None:
        """Set labels from a round record or from an annotator, and move their images out of the pool.

        Args:
            index: (n,) int64 of images in the pool.
            labels: (n,) int64, their labels.
            labeled_at: 0 for the initial set, k for images trained on from round k.

        Raises:
            ValueError: see :meth:`label`; or the numbers of labels and indices differ, or the round is negative.
        """
        if len(labels) != len(index) or labeled_at < 0:
            raise ValueError(f"restore() got {len(labels)} labels for {len(index)} images in round {labeled_at}")
        self._check_in_pool(index)
        self.hidden_labels.num_revealed += len(index)
        self._put(index, labeled_at, labels)

    def relabel(self, index: Tensor, labels: Tensor) -> None:
        """Correct labels; every image stays where it is.

        Args:
            index: (n,) int64 of labeled or held-out images, none twice.
            labels: (n,) int64, their new labels.

        Raises:
            ValueError: an image has no label.
        """
        places = self.labeled_at[index]
        if bool(((places < 0) & (places != Place.HELD_OUT)).any()):
            raise ValueError("relabel() got images without a label: only labels that were given can be corrected")
        self._put(index, places, labels)

    def change_classes(self, change: ClassChange) -> None:
        """Translate known labels, hidden labels and pseudo-labels; every image stays where it is.

        Raises:
            ValueError: a labeled image of a split class has no new label. Nothing is changed then.
            IndexError: a label is no former class, or an index is out of range.
        """
        new = change.of_train(self._labels)
        in_use = (self.labeled_at >= 0) | (self.labeled_at == Place.HELD_OUT)
        if lacking := int(((new < 0) & in_use).sum()):
            raise ValueError(f"{lacking} labeled images of a split class have no new label")
        self.hidden_labels.change_classes(change)
        self._labels = new
        self.set_pseudo_labels(*change.of_classes(*self.pseudo_labels))
        self._digest = SplitDigest()
        self._digest.add(*self._rows(torch.arange(len(new))))

    def add(self, index: Tensor) -> None:
        """Put images into the pool that a person added to a run.

        Args:
            index: (n,) int64 of images that are left out.
        """
        self._put(index, Place.POOL)

    def remove(self, index: Tensor) -> None:
        """Remove images for good, with their labels.

        Args:
            index: (n,) int64 of images at any place, none twice.
        """
        places = self.labeled_at[index]
        labeled = int(((places >= 0) | (places == Place.HELD_OUT)).sum())
        self.hidden_labels.num_revealed -= labeled
        self.num_removed_labels += labeled
        predicted, classes = self.pseudo_labels
        stays = ~torch.isin(predicted, index)
        self.pseudo_labels = predicted[stays], classes[stays]
        self._put(index, Place.REMOVED)

    def hold_out(self, index: Tensor) -> None:
        """Hold out images of the initial set to test on, because the data has no test set.

        Args:
            index: (n,) int64 of images in the initial set.

        Raises:
            ValueError: an image is not in the initial set. Nothing is moved then.
        """
        if bool((self.labeled_at[index] != 0).any()):
            raise ValueError("hold_out() got images that are not in the initial set: others were trained on")
        self._put(index, Place.HELD_OUT)

    def skip(self, index: Tensor) -> None:
        """Remove images that an annotator skipped from the pool.

        Args:
            index: (n,) int64 of images in the pool.

        Raises:
            ValueError: see :meth:`label`.
        """
        self._check_in_pool(index)
        self._put(index, Place.SKIPPED)

    def leave_out(self, index: Tensor) -> None:
        """Remove images from the pool that no query may select.

        Args:
            index: (n,) int64 of images in the pool.

        Raises:
            ValueError: see :meth:`label`.
        """
        self._check_in_pool(index)
        self._put(index, Place.LEFT_OUT)

    def reserve(self, index: Tensor) -> None:
        """Take images out of the pool whose labels a later round requests.

        Args:
            index: (n,) int64 of images in the pool.

        Raises:
            ValueError: see :meth:`label`.
        """
        self._check_in_pool(index)
        self._put(index, Place.RESERVED)

    def release(self) -> None:
        """Put all reserved images back into the pool."""
        self._put(self._at(Place.RESERVED), Place.POOL)

    def set_pseudo_labels(self, index: Tensor, labels: Tensor) -> None:
        """Train the next fit on predictions too. They replace the former ones, and every image stays where it is.

        Args:
            index: (n,) int64 of images in the pool.
            labels: (n,) int64, what was predicted.

        Raises:
            ValueError: an index twice, out of range, or not in the pool.
        """
        self._check_in_pool(index)
        self.pseudo_labels = index, labels

    def clear_pseudo_labels(self) -> None:
        """Train the next fit on queried labels only."""
        self.pseudo_labels = torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.int64)

    def _check_in_pool(self, index: Tensor) -> None:
        size = len(self.labeled_at)
        if len(torch.unique(index)) != len(index):
            raise ValueError(f"label() got an index twice among {len(index)}: each image is queried once")
        if len(index) and not 0 <= index.min() <= index.max() < size:
            raise ValueError(f"label() got an index outside 0..{size - 1}: indices are dataset-absolute")
        taken = index[self.labeled_at[index] != Place.POOL]
        if len(taken):
            raise ValueError(f"label() got {len(taken)} images that are not in the pool, index {int(taken[0])} first")

    def _put(self, index: Tensor, place: int | Tensor, labels: Tensor | None = None) -> None:
        """Move images; every move goes through here."""
        self._digest.remove(*self._rows(index))
        self.labeled_at[index] = place
        if labels is not None:
            self._labels[index] = labels.to(torch.int32)
        self._digest.add(*self._rows(index))

    def _rows(self, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return index, place and label of the images that are not in the pool, which the digest leaves out."""
        index = index[self.labeled_at[index] != Place.POOL]
        return index, self.labeled_at[index], self._labels[index]

    # ---------------------------------------------------------------- checking and keeping

    def check_bill(self) -> None:
        """Check that exactly the images that were labeled have had their labels revealed; otherwise labels have leaked.

        Raises:
            RuntimeError: a fault of this program.
        """
        labeled = len(self.labeled) + len(self.held_out)
        if self.hidden_labels.num_revealed != labeled:
            revealed = self.hidden_labels.num_revealed
            raise RuntimeError(f"{revealed} labels were revealed, but {labeled} images are labeled")

    def update_digest(self, digest: "hashlib.blake2s") -> None:
        """Add the split, the labels known and the pseudo-labels to a digest."""
        digest.update(self._digest.value.to_bytes(8, "little"))
        for tensor in self.pseudo_labels:
            digest.update(tensor.numpy().tobytes())

    def update_former_digest(self, digest: "hashlib.blake2s") -> None:
        """Add the same to a digest as versions before 2026-11-27 did, which read every image's place and label."""
        for tensor in (self.labeled_at.long(), self.labels.long(), *self.pseudo_labels):
            digest.update(tensor.numpy().tobytes())

    def state_dict(self) -> dict[str, Any]:
        """Return copies of the whole state, for a checkpoint."""
        index, labels = self.pseudo_labels
        return {
            "labeled_at": self.labeled_at.clone(),
            "labels": self.labels.clone(),
            "pseudo_index": index.clone(),
            "pseudo_labels": labels.clone(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the split from a checkpoint.

        Raises:
            ValueError: it belongs to a dataset of another size.
        """
        if len(state["labeled_at"]) != len(self.labeled_at):
            raise ValueError(
                f"expected the split of {len(self.labeled_at)} images, got one of {len(state['labeled_at'])}: "
                "the checkpoint belongs to another dataset"
            )
        self.labeled_at, self._labels = (state[name].to(torch.int32, copy=True) for name in ("labeled_at", "labels"))
        self._digest = SplitDigest()
        self._digest.add(*self._rows(torch.arange(len(self.labeled_at))))
        self.pseudo_labels = state["pseudo_index"].clone(), state["pseudo_labels"].clone()
        self.hidden_labels.num_revealed = len(self.labeled) + len(self.held_out)
