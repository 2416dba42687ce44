"""The choice of a run's label source."""

from functools import partial

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.loop.annotation import AnnotatorLabels
from msal_lightning.loop.checks import ModelCheck
from msal_lightning.loop.fitting import Fitter
from msal_lightning.loop.initial_order import check_needs_no_model, initial_order
from msal_lightning.loop.label_sources import DataLabels, LabelSource
from msal_lightning.loop.replay import ReplayedLabels
from msal_lightning.oracles.base import Oracle
from msal_lightning.runs.budget import label_counts
from msal_lightning.runs.directory import RunDirectory
from msal_lightning.strategies.base import Strategy


def choose_label_source(
    data: ActiveDataModule,
    strategy: Strategy,
    oracle: Oracle,
    run: RunDirectory,
    fitter: Fitter,
    model_check: ModelCheck,
) -> LabelSource:
    """Return the source of labels: another run, the data, or annotators; the source is checked against the data.

    Raises:
        UserError: labels or a test set are missing, or the sizes do not fit the data.
    """
    options = fitter.options
    labels: LabelSource
    if options.initial is not None:
        check_needs_no_model(options.initial)
    if options.replay:
        labels = ReplayedLabels(options.replay, data)
        strategy.expect_queries(len(labels.label_counts) - 1)
    else:
        available = data.num_pool + (0 if data.test_only is None else options.held_out)
        planned = label_counts(available, options.initial_size, options.query_size, options.query_budget)
        counts = run.amendments.label_counts(planned)
        strategy.expect_queries(len(planned) - 1)  # a decay over the run keeps the span that it began with
        order = partial(initial_order, data, options, counts[0], fitter.ranks)
        if oracle.needs_annotator:
            labels = AnnotatorLabels(
                data, counts, options.held_out, oracle, strategy, run, fitter, model_check, order, options.lag
            )
        else:
            labels = DataLabels(data, counts, options.held_out, f"query {strategy.name}", order, options.lag)
    labels.check()
    oracle.connect(data)
    return labels
