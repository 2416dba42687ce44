"""How far a run is, what it waits for, and what more labels may add."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from msal_lightning.analysis.stats.estimates import Comparison, Estimate, accuracy_interval, against_random, next_gain
from msal_lightning.errors import RunError, UserError
from msal_lightning.io.lock import DirectoryLock
from msal_lightning.io.rounding import fixed
from msal_lightning.io.wording import counted
from msal_lightning.oracles.base import LabelingBatch
from msal_lightning.oracles.csv_files.csv_file import read_answers
from msal_lightning.paper.methods import last_word, method_name
from msal_lightning.runs.budget import label_counts_of
from msal_lightning.runs.classes import ClassRow, class_rows, missing_classes, worst_first
from msal_lightning.runs.pending import INITIAL, PendingRequest, all_pending, pending_file
from msal_lightning.runs.reading import Run, read_run, read_runs
from msal_lightning.runs.records import RoundRecord, checked_record_of

_MORE = 100  # labels, of the estimate
_Reader = Callable[[tuple[Path, ...]], Sequence[Run]]


@dataclass(frozen=True)
class Round:
    """A point of the curve.

    Attributes:
        round: k.
        labels: paid for before it.
        accuracy: with its interval where the number of test images is known.
        seconds: of the whole round.
    """

    round: int
    labels: int
    accuracy: Estimate | float
    seconds: float


@dataclass(frozen=True)
class Waiting:
    """What a person has to label before the run goes on.

    Attributes:
        question: its name.
        labels: that were asked for.
        blank: of them; those that were not filled in.
        file: the CSV file of the question; None where the oracle has none.
        mistake: why the file as it is would be refused.
    """

    question: str
    labels: int
    blank: int
    file: str | None
    mistake: str | None = None


@dataclass(frozen=True)
class Status:
    """All that is shown of a run.

    Attributes:
        run: its folder.
        method: as in the paper's tables.
        dataset: its class.
        seed: of the run.
        rounds: in all; None where the configuration does not say.
        tested: the rounds whose model is tested; the labels that the last one asks for may still be missing.
        budget: labels in all; None as ``rounds``.
        initial: labels of the initial set, those held out left out.
        queried: labels beyond it.
        held_out: labels to test on, the data having no test set.
        skipped: images that a person took out.
        waiting: for a person; None where nobody is asked.
        busy: the process that writes into the run right now.
        gain: what more labels may add.
        random: comparison with Random beside it.
        warnings: classes that the last tested round could not test or learn, a sentence each.
        classes: of the last tested round, the worst first; none where its record has no numbers by class.
    """

    run: str
    method: str
    dataset: str
    seed: int
    rounds: int | None
    tested: list[Round]
    budget: int | None
    initial: int
    queried: int
    held_out: int
    skipped: int
    waiting: Waiting | None
    busy: str | None
    gain: Estimate | None
    random: Comparison | None
    warnings: list[str]
    classes: list[ClassRow]


def read_quietly(paths: tuple[Path, ...]) -> list[Run]:
    """Runs to compare with: a damaged one is shown where it is looked at."""
    return read_runs(paths, lambda *_: None)


def look(folder: Path, against: Sequence[Path] = (), read: _Reader = read_quietly) -> Status:
    """Read a run; nothing is written.

    Args:
        folder: the run directory.
        against: see :func:`status`.
        read: reads the runs to compare with.

    Raises:
        RunError: see :func:`status`.
    """
    run = read_run(folder)
    config = run.config
    request = [one for one in all_pending(folder) if _is_open(one, len(run.records))]
    records = [*run.records, *(_record(one, folder) for one in request if one.record)]
    answers = {one.name: [a for exchange in one.exchanges for a in exchange.answers or ()] for one in request}
    labels = {name: sum(answer.label is not None for answer in given) for name, given in answers.items()}
    of_initial = labels.pop(INITIAL, 0)
    question = next((one.pending for one in request if one.pending), None)
    counts = label_counts_of(config)
    return Status(
        run=str(folder),
        method=method_name(config),
        dataset=run.dataset,
        seed=int(config.get("seed", 0)),
        rounds=len(counts) if counts else None,
        tested=[
            Round(
                record.round,
                record.num_labeled,
                accuracy_interval(record.accuracy, record.num_test) if record.num_test else record.accuracy,
                sum(record.seconds.values()),
            )
            for record in records
        ],
        budget=counts[-1] if counts else None,
        initial=len(records[0].initial.index) if records else of_initial,
        queried=sum(len(record.queried.index) for record in records) + sum(labels.values()),
        held_out=sum(len(record.held_out.index) for record in records if record.held_out),
        skipped=sum(len(record.skipped.index) for record in records if record.skipped)
        + sum(
            answer.label is None for name, given in answers.items() if name in labels or not records for answer in given
        ),
        waiting=_waiting(question, bool(config.get("oracle.init_args.allow_new_classes"))) if question else None,
        busy=DirectoryLock(folder / "lock").holder(),
        gain=next_gain([r.num_labeled for r in records], [r.accuracy for r in records], _MORE),
        random=_random(run, against, read),
        warnings=missing_classes(records, len(records) - 1).warnings if records else [],
        classes=worst_first(class_rows(records, len(records) - 1)) if records else [],
    )


def outlook(folder: Path, records: Sequence[RoundRecord]) -> list[str]:
    """How sure the accuracy of a finished run is, and what more labels may add: a sentence each.

    Args:
        folder: the run directory.
        records: of all rounds.
    """
    found = look(folder)
    lines = conclusions(found)
    if isinstance(sure := found.tested[-1].accuracy, Estimate):
        what = missing_classes(records, len(records) - 1).scope or "accuracy"
        ends = f"{fixed(sure.low, 3)} to {fixed(sure.high, 3)}"
        lines.insert(0, f"the {what} is {ends} (95 %, by the number of test images)")
    return lines


def conclusions(status: Status) -> list[str]:
    """What the curve says about the labels to come, a sentence each."""
    lines = []
    if status.tested and not isinstance(status.tested[-1].accuracy, Estimate):
        lines.append("no intervals: the records were made before they held the number of test images")
    if status.gain:
        value, low, high = (100 * part for part in (status.gain.value, status.gain.low, status.gain.high))
        unsure = "" if low > 0 or high < 0 else ": too uncertain to tell from nothing"
        lines.append(
            f"the next {_MORE} labels may add {value:+.1f} points of accuracy ({low:+.1f} to {high:+.1f}){unsure}"
        )
    elif status.tested:
        lines.append(f"what the next {_MORE} labels would add can be said from three rounds on")
    if status.random:
        lines.append(_against(status.random))
    return lines


def _against(found: Comparison) -> str:
    numbers = f"{fixed(found.ours, 4)} against {fixed(found.random, 4)} with {counted(found.labels, 'label')}"
    test = f"{found.seeds} seeds" if found.seeds > 1 else "one seed"
    p = "" if found.p is None else f", p = {fixed(found.p, 3)}"
    return f"Random is {'' if found.beaten else 'not '}beaten: {numbers} ({test}{p})"


def _record(request: PendingRequest, folder: Path) -> RoundRecord:
    try:
        return checked_record_of(request.record or {})
    except (TypeError, ValueError, KeyError, AttributeError):
        raise RunError(
            f"the file '{pending_file(folder, request.name)}' is damaged: delete it, and the round is trained again "
            "and asks the same"
        ) from None


def _is_open(request: PendingRequest, num_records: int) -> bool:
    """Whether no record has its labels yet: a kill may leave the file behind."""
    return num_records <= (0 if request.name == INITIAL else int(request.name.removeprefix("round-")))


def _waiting(question: LabelingBatch, allow_new_classes: bool) -> Waiting:
    file, request = question.folder / f"{question.name}.csv", len(question.items)
    if not file.exists():
        return Waiting(question.name, request, request, None)
    try:
        blank = read_answers(question, file, allow_new_classes).count(None)
    except UserError as error:
        return Waiting(question.name, request, request, str(file), str(error))
    return Waiting(question.name, request, blank, str(file))


def _random(run: Run, against: Sequence[Path], read: _Reader) -> Comparison | None:
    """Against runs of Random that share all but the query, the oracle and the seed; each seed with its own."""
    if last_word(run.config.get("query.class_path")) == "Random":
        return None
    try:
        others = read(tuple(against) or (run.folder.resolve().parent,))
    except UserError:
        if against:
            raise
        return None  # what lies beside a run is nobody's mistake
    # as it is read beside the others, which another version may have made
    run = next((other for other in others if other.folder.resolve() == run.folder.resolve()), run)
    mine, of_random = [run], []
    for other in others:
        if _compared(other) != _compared(run):
            continue
        if last_word(other.config.get("query.class_path")) == "Random":
            of_random.append(other)
        elif other.setting == run.setting and other.folder.resolve() != run.folder.resolve():
            mine.append(other)
    num_test = next((record.num_test for record in run.records), None)
    return against_random(_by_seed(mine), _by_seed(of_random), num_test)


def _compared(run: Run) -> list[tuple[str, str]]:
    return [(key, value) for key, value in run.setting if key.split(".")[0] not in ("query", "oracle")]


def _by_seed(runs: Sequence[Run]) -> dict[int, dict[int, float]]:
    return {int(run.config.get("seed", 0)): {r.num_labeled: r.accuracy for r in run.records} for run in runs}
