"""The runs of docs/reproduction.md: the MNIST cells of the paper's Tables 2 to 4 and Fig. 4, main ones first."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from msal_lightning.errors import ConfigError
from msal_lightning.io.suggestions import did_you_mean
from msal_lightning.paper.experiments import EXPERIMENTS, TABLE2, TABLE3, TABLE4, Rows

NAME = "reproduce"
"""The paper's protocol, for GPUs."""
CUT = "reproduce-cut"
"""The same rows with the first five rounds of the protocol and 10,000 scored images, for CPUs."""
NAMES = (NAME, CUT)

CORE = ("MSAL-D", "MSAL", "Entropy", "Random")
"""The rows that matter most."""
_BETAS = {row: options for row, options in EXPERIMENTS["beta"]["mnist",].items() if row != "beta=5"}  # MSAL-D itself
ROWS: Rows = {
    **{row: TABLE2[row] for row in CORE},
    **TABLE2,
    **TABLE3,
    **TABLE4,
    **_BETAS,
}
LAST_BATCH = ("keep", "balanced")
"""The toolkit's last batch, which the paper had, and ours."""
SEEDS = 5
_FIRST_SEEDS = 3  # the paper's number of runs
# bfloat16 by name, because auto would choose it on some machines only; no models, because they would be most of a run
_PROTOCOL = {
    NAME: ("--trainer.precision", "bf16-mixed"),
    CUT: ("--loop.query_budget", "1000", "--loop.pool_limit", "10000"),
}
_STATE = ("--loop.keep_checkpoints", "none")


@dataclass(frozen=True)
class Run:
    """One run of the reproduction.

    Attributes:
        row: the paper's name of the row.
        last_batch: value of ``data.last_batch``.
        seed: seed of the run.
        options: options of ``fit`` besides folder of the data and seed.
    """

    row: str
    last_batch: str
    seed: int
    options: tuple[str, ...] = field(repr=False, compare=False)


def runs(name: str, seeds: Sequence[int] | None = None, only: Sequence[str] = ()) -> Iterator[Run]:
    """Yield the runs; an interrupted reproduction has those that matter most.

    First come three seeds of the main rows with the toolkit's last batch, then with ours, then three seeds of the other
    rows, then the other seeds in the same order.

    Args:
        name: ``NAME`` or ``CUT``.
        seeds: seeds to keep; None: all.
        only: rows or kinds of the last batch to keep; a run must match one word of each kind that is named.

    Raises:
        ConfigError: a word of ``only`` that means nothing.
    """
    known = [*ROWS, *LAST_BATCH]
    for word in only:
        if word not in known:
            raise ConfigError(f"expected --only to name {', '.join(known)}, got '{word}'{did_you_mean(word, known)}")
    rows = [row for row in ROWS if row in only] or list(ROWS)
    kinds = [kind for kind in LAST_BATCH if kind in only] or list(LAST_BATCH)
    for late in (False, True):
        for core in (True, False):
            for kind in kinds:
                for seed in range(_FIRST_SEEDS, SEEDS) if late else range(_FIRST_SEEDS):
                    for row in rows:
                        if (row in CORE) is core and (seeds is None or seed in seeds):
                            options = (*ROWS[row], "--data.last_batch", kind, *_PROTOCOL[name], *_STATE)
                            yield Run(row, kind, seed, options)
