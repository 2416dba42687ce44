"""A part of a pool pass in a process of its own, without a run directory."""

import json
from functools import lru_cache

from jsonargparse import ArgumentParser, Namespace
from lightning.pytorch import Trainer
from lightning.pytorch.utilities.seed import isolate_rng

from msal_lightning.config.parser import build_parser, instantiate, parse
from msal_lightning.data import ActiveDataModule
from msal_lightning.data.image_order import ImageOrder, RowOrder
from msal_lightning.models.classifier import MSALClassifier
from msal_lightning.query.callback import PartOfQuery, PoolPart
from msal_lightning.query.pool_request import PoolRequest
from msal_lightning.training.lightning_noise import quiet_lightning


def score_part(request: PoolRequest, part: int, num_parts: int) -> PoolPart:
    """Score a part of the pool.

    Args:
        request: the pool pass.
        part: number of the part, from 0.
        num_parts: number of parts.
    """
    with isolate_rng(), quiet_lightning():
        parser, config, data = _opened(json.dumps(request.config), json.dumps(request.resolved), request.order)
        made = instantiate(parser, config, "query", "model")
        model = MSALClassifier(len(request.class_names), data.in_channels, **made.model)
        request.prepare(data, model, part, num_parts)
        query = PartOfQuery(made.query, request.n, request.seed, request.round)
        trainer = Trainer(
            accelerator="cpu" if request.accelerator == "cpu" else "gpu",
            devices=1,
            precision=request.precision,  # type: ignore[arg-type]
            logger=False,
            callbacks=[query],
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
        )
        trainer.predict(model, datamodule=data, return_predictions=False)
    return query.part


@lru_cache(maxsize=1)
def _opened(
    run: str, resolved: str, order: ImageOrder | RowOrder | None
) -> tuple[ArgumentParser, Namespace, ActiveDataModule]:
    """Return parser, configuration and data of a run; a process that scores several parts opens the files once."""
    parser = build_parser()
    config = parse(parser, [], base=json.loads(run))
    data: ActiveDataModule = instantiate(parser, config, "data").data
    data.resume_as(json.loads(resolved))
    if order:
        data.keep_images(order)
    data.setup()
    return parser, config, data
