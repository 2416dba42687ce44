"""Every fit takes at least one optimizer step; otherwise its accuracy would be that of random weights."""

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EarlyStopping

from msal_lightning.errors import ConfigError


def check_limits(trainer: Trainer, num_batches: int) -> None:
    """Reject limits of a fit that leave no optimizer step or no end, before anything is labeled or trained.

    Args:
        trainer: a Trainer with the options of the fits.
        num_batches: number of batches per epoch and process in the first fit.

    Raises:
        ConfigError: a limit is wrong.
    """
    if key := _zero_limit(trainer, num_batches):
        raise ConfigError(
            f"expected at least one optimizer step in each fit, got trainer.{key}, which leaves none: raise it, or "
            "leave it out"
        )
    ended = any(isinstance(callback, EarlyStopping) for callback in trainer.callbacks)  # type: ignore[attr-defined]
    if trainer.max_epochs == -1 and trainer.max_steps == -1 and not ended:
        raise ConfigError(
            "expected an end of each fit, got trainer.max_epochs -1 without another limit: set trainer.max_epochs to "
            "a number of epochs (20 is usual), or set trainer.max_steps too"
        )


def check_stepped(trainer: Trainer, round: int, reported: bool = False) -> None:
    """Reject an untrained model before it is tested and recorded.

    Args:
        trainer: a Trainer after its fit; steps before a resume count too.
        round: k.
        reported: whether another process shows the sentence.

    Raises:
        ConfigError: no optimizer step was taken.
    """
    if trainer.global_step == 0:
        own = [type(callback).__name__ for callback in trainer.callbacks if not _is_ours(callback)]  # type: ignore[attr-defined]
        named = f" ({', '.join(own)})" if own else ""
        raise ConfigError(
            f"expected at least one optimizer step in the fit of round {round}, got none, so that its weights are "
            f"random: look at trainer.callbacks{named}, one of which ended the fit before its first step",
            reported=reported,
        )


def _zero_limit(trainer: Trainer, num_batches: int) -> str:
    limit = trainer.limit_train_batches
    if trainer.max_steps == 0:
        return "max_steps 0"
    if trainer.max_epochs == 0:
        return "max_epochs 0"
    if limit == 0:
        return f"limit_train_batches {limit}"
    if isinstance(limit, float) and limit * num_batches < 1:
        return f"limit_train_batches {limit} of {num_batches} batches"
    return ""


def _is_ours(callback: object) -> bool:
    return type(callback).__module__.startswith("msal_lightning.")
