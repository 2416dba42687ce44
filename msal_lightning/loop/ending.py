"""Ends a run before its budget, if a stopping criterion says so."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.loop.fitting import Fitted
from msal_lightning.loop.label_sources import LabelSource
from msal_lightning.oracles.tasks import shortest
from msal_lightning.query.callback import Query
from msal_lightning.runs.amendments import Amendment, Amendments, Extend, Finish, write_amendment
from msal_lightning.runs.directory import RunDirectory
from msal_lightning.runs.records import last_segment
from msal_lightning.seeding import derive_seed, noise_of_rows
from msal_lightning.stopping import Look, StoppingCriterion, StopSet
from msal_lightning.training.distributed import Ranks


class Ending:
    """Looks at each tested round. The end of the run is an amendment, so that ``extend`` continues it.

    Where a person has extended or finished the run, the person decides, and the criterion is not asked.

    Args:
        criterion: loop.stop; None never ends a run.
        data: the run's data module.
        run: keeps the amendment.
        labels: the plan of the run.
        ranks: the processes of the run; the first one decides.
        seed: seed of the run, which draws the stop set.
    """

    def __init__(
        self,
        criterion: StoppingCriterion | None,
        data: ActiveDataModule,
        run: RunDirectory,
        labels: LabelSource,
        ranks: Ranks,
        seed: int,
    ) -> None:
        self._criterion = criterion
        self._data = data
        self._run = run
        self._labels = labels
        self._ranks = ranks
        self._seed = seed
        self.reason: str | None = None

    def look(self, query: Query, fitted: Fitted, metrics: Mapping[str, float]) -> dict[str, Any]:
        """Look at a round after its test; if the run ends with it, its query selects nothing.

        Args:
            query: the round's query, before the pool pass.
            fitted: the tested model.
            metrics: results on the test set.

        Returns:
            Fields for the record.
        """
        if self._criterion is None:
            return {}
        stop_set = self._predict(fitted) if self._criterion.stop_set_size else None
        if query.n and not any(isinstance(one.change, Extend | Finish) for one in self._run.amendments.items):
            self._decide(self._criterion, query, metrics["accuracy"], stop_set)
        return {"stop_set": stop_set} if stop_set else {}

    def _decide(self, criterion: StoppingCriterion, query: Query, accuracy: float, stop_set: StopSet | None) -> None:
        looks = [Look(r.num_labeled, r.accuracy, r.num_test, r.stop_set) for r in last_segment(self._run.records)]
        num_labeled = len(self._data.labeled) + len(self._data.held_out)
        looks.append(Look(num_labeled, shortest(accuracy), self._data.num_test, stop_set))
        amendment = self._ranks.on_zero(lambda: self._amendment(criterion, looks, query))
        if amendment is None:
            return
        self._run.amendments = Amendments((*self._run.amendments.items, amendment))
        self._labels.label_counts = amendment.change.label_counts(self._labels.label_counts)
        self.reason = amendment.reason
        query.select_nothing()

    def _amendment(self, criterion: StoppingCriterion, looks: list[Look], query: Query) -> Amendment | None:
        """Write the end of the run before the record of its last round: a kill between them repeats the round."""
        reason = criterion.reason(looks)
        if reason is None:
            return None
        counts, name = self._labels.label_counts, type(criterion).__name__
        change = Finish(counts[-1], counts[query.round], query.round)
        amendment = self._run.amendments.next(change, query.round, False, f"{name}: {reason}")
        write_amendment(self._run.path, amendment)
        return amendment

    @torch.inference_mode()
    def _predict(self, fitted: Fitted) -> StopSet:
        """Predict the stop set, on every process alike."""
        data, model = self._data, fitted.model
        index = self._index()
        was_training = model.training
        model.to(fitted.trainer.strategy.root_device).eval()
        with fitted.trainer.precision_plugin.forward_context():
            logits = torch.cat([model(batch.image).float() for batch in data.batches_of(index)])
        model.train(was_training)
        log = logits.log_softmax(1)
        entropy = float(-(log.exp() * log).sum(1).mean()) / float(torch.tensor(float(logits.shape[1])).log())
        return StopSet(index.tolist(), logits.argmax(1).tolist(), shortest(entropy))

    def _index(self) -> Tensor:
        """The images with the smallest noise among all that are in the pool or labeled, ascending."""
        assert self._criterion is not None
        known = self._data.split.trainable.nonzero().squeeze(1)
        noise = noise_of_rows(derive_seed(self._seed, "stop"), known)
        return known[noise.argsort(stable=True)[: self._criterion.stop_set_size]].sort().values
