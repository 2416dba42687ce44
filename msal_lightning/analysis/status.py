"""The status of a run: its progress, the labels it waits for, and the expected gain from more labels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from msal_lightning.analysis.stats.agreement import Agreement, agreements, say_agreements
from msal_lightning.analysis.stats.estimates import Comparison, Estimate, accuracy_interval, against_random, next_gain
from msal_lightning.errors import RunError, UserError
from msal_lightning.io.lock import DirectoryLock
from msal_lightning.io.rounding import fixed
from msal_lightning.io.wording import counted
from msal_lightning.oracles.base import LabelingBatch
from msal_lightning.oracles.csv_files.csv_file import read_lines, read_votes
from msal_lightning.oracles.csv_files.decisions import file_of
from msal_lightning.oracles.csv_files.shares import find_shares
from msal_lightning.paper.methods import last_word, method_name
from msal_lightning.runs.amendments import Amendment
from msal_lightning.runs.classes import ClassRow, class_rows, missing_classes, worst_first
from msal_lightning.runs.directory import RunDirectory
from msal_lightning.runs.pending import INITIAL, PendingRequest, open_requests, pending_file
from msal_lightning.runs.reading import Run, read_run, read_runs
from msal_lightning.runs.records import RoundRecord, checked_record_of, last_segment
from msal_lightning.runs.votes import votes_so_far
from msal_lightning.stopping.forecast import (
    CurveForecast,
    LabelsTo,
    forecast,
    labels_to,
    next_target,
    say_labels_to,
    say_random_needed,
)

_MORE = 100  # number of labels whose gain is estimated
_SHOWN = 0.05  # points of accuracy: half of the last digit that is printed
_Reader = Callable[[tuple[Path, ...]], Sequence[Run]]


@dataclass(frozen=True)
class Round:
    """A point of the curve.

    Attributes:
        round: number of the round.
        labels: number of labels in the round.
        accuracy: accuracy, with its interval if the number of test images is known.
        seconds: seconds of the whole round.
        classes: number of classes from this round on, if classes were merged or split before it; else None.
    """

    round: int
    labels: int
    accuracy: Estimate | float
    seconds: float
    classes: int | None = None


@dataclass(frozen=True)
class Waiting:
    """The labels that a person has to give before the run resumes.

    Attributes:
        question: name of the labeling request.
        labels: number of requested labels.
        blank: number of requested labels that are still missing.
        file: CSV file of the request; None if the oracle has none, or if annotators share the request.
        mistake: error in the present file; None if it has none.
        shares: the files of annotators who share the request.
    """

    question: str
    labels: int
    blank: int
    file: str | None
    mistake: str | None = None
    shares: tuple["Waiting", ...] = ()


@dataclass(frozen=True)
class Amended:
    """A change that a person made to the run.

    Attributes:
        number: 1 for the first amendment.
        when: date and time.
        before_round: from this round on it is known.
        what: description of the change.
        reason: the person's words.
    """

    number: int
    when: str
    before_round: int
    what: str
    reason: str


@dataclass(frozen=True)
class Status:
    """Everything that ``status`` shows of a run.

    Attributes:
        run: folder of the run.
        method: name as in the paper's tables.
        dataset: name of the data class.
        seed: seed of the run.
        rounds: total number of rounds; None if the configuration does not define it.
        tested: rounds whose model is tested; the labels that the last one requests may still be missing.
        budget: total number of labels; None if the configuration does not define it.
        initial: number of labels in the initial set, without held-out ones.
        queried: number of queried labels.
        held_out: number of labels that serve as the test set, if the data has none.
        skipped: number of images that the annotator skipped.
        waiting: the pending labeling request; None if there is none.
        num_ahead: number of images whose labels are requested ahead of their round, with ``loop.lag``.
        busy: the process that writes into the run right now.
        gain: expected gain in accuracy from more labels.
        forecast: when the run reaches the next round accuracy; None before its fourth round.
        random_forecast: when runs of Random reach the best accuracy of this run; None without such runs.
        random: comparison with runs of Random.
        warnings: one sentence per set of classes that the last tested round could not test or train on.
        classes: classes of the last tested round, the worst first; empty if its record has no numbers by class.
        amendments: the changes that a person made to the run.
        agreement: pairs of annotators who labeled the same images; empty if nobody is named.
        disk: bytes of the run directory, and of the checkpoints in it.
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
    num_ahead: int
    busy: str | None
    gain: Estimate | None
    forecast: LabelsTo | None
    random_forecast: LabelsTo | None
    random: Comparison | None
    warnings: list[str]
    classes: list[ClassRow]
    amendments: list[Amended]
    agreement: list[Agreement]
    disk: tuple[int, int]


def read_quietly(paths: tuple[Path, ...]) -> list[Run]:
    """Read runs to compare with, without notes on damaged ones; ``status`` of the damaged run shows its error."""
    return read_runs(paths, lambda *_: None)


def look(folder: Path, against: Sequence[Path] = (), read: _Reader = read_quietly) -> Status:
    """Read the status of a run, without writing anything.

    Args:
        folder: the run directory.
        against: runs of Random, or folders of such runs; by default those beside the run.
        read: reads the runs to compare with.

    Raises:
        RunError: the folder is no run directory, or a file in it is damaged.
    """
    run = read_run(folder)
    config = run.config
    open_again = run.amendments.reopened(run.records) is not None  # its draft repeats the record, with a query
    finished = run.records[:-1] if open_again else run.records
    request = open_requests(folder, len(finished))
    drafts = [_record(one, folder) for one in request if one.record]
    records = [*finished, *drafts] if drafts else run.named_records
    annotations = {one.name: [a for exchange in one.exchanges for a in exchange.annotations or ()] for one in request}
    labels = {name: sum(one.label is not None for one in given) for name, given in annotations.items()}
    of_initial = labels.pop(INITIAL, 0)
    pending = [one.pending for one in request if one.pending]
    question, ahead = (pending[0] if pending else None), pending[1:]
    counts, shown = run.label_counts, last_segment(records)
    mine, of_random = _compared_runs(run, against, read)
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
                len(record.class_names or []) if record.starts_segment else None,
            )
            for record in records
        ],
        budget=counts[-1] if counts else None,
        initial=len(records[0].initial.index) if records else of_initial,
        queried=sum(len(record.queried.index) for record in records) + sum(labels.values()),
        held_out=sum(len(record.held_out.index) for record in records if record.held_out),
        skipped=sum(len(record.skipped.index) for record in records if record.skipped)
        + sum(
            one.label is None for name, given in annotations.items() if name in labels or not records for one in given
        ),
        num_ahead=sum(len(batch.items) for batch in ahead),
        waiting=_waiting(question, bool(config.get("oracle.init_args.allow_new_classes"))) if question else None,
        busy=DirectoryLock(folder / "lock").holder(),
        gain=next_gain([r.num_labeled for r in shown], [r.accuracy for r in shown], _MORE),
        forecast=_next_accuracy(shown),
        random_forecast=_random_forecast(shown, of_random),
        random=_against_random(run, mine, of_random),
        warnings=missing_classes(records, len(records) - 1).warnings if records else [],
        classes=worst_first(class_rows(records, len(records) - 1)) if records else [],
        amendments=[_amended(one, run) for one in run.amendments.items],
        agreement=agreements(votes_so_far(folder, run.records).values()),
        disk=RunDirectory(folder).disk_use(),
    )


def _amended(one: Amendment, run: Run) -> Amended:
    what = one.change.describe(run.amendments.names_before(one.number, run.class_names))
    return Amended(one.number, one.when, one.before_round, what, one.reason)


def outlook(folder: Path, records: Sequence[RoundRecord]) -> list[str]:
    """Return sentences on the confidence interval of a finished run and on the expected gain from more labels.

    Args:
        folder: the run directory.
        records: records of all rounds.
    """
    found = look(folder)
    lines = conclusions(found)
    if isinstance(sure := found.tested[-1].accuracy, Estimate):
        what = missing_classes(records, len(records) - 1).scope or "accuracy"
        ends = f"{fixed(sure.low, 3)} to {fixed(sure.high, 3)}"
        lines.insert(0, f"the {what} is {ends} (95 %, by the number of test images)")
    return lines


def conclusions(status: Status) -> list[str]:
    """Return sentences on the expected gain from more labels and on the comparison with Random."""
    lines = say_agreements(status.agreement)
    if status.tested and not isinstance(status.tested[-1].accuracy, Estimate):
        lines.append("no intervals: the records do not hold the number of test images")
    if status.gain:
        value, low, high = (100 * part for part in (status.gain.value, status.gain.low, status.gain.high))
        unsure = "" if low > 0 or high < 0 else ": too uncertain to tell from zero"
        said = f"{value:+.1f} points of accuracy ({low:+.1f} to {high:+.1f}){unsure}"
        if high - low < _SHOWN:  # both ends are cut: an accuracy ends at 0 and 1
            beyond = "the trend of the last rounds leads beyond the end of the scale"
            said = f"{value:+.1f} points of accuracy at most: {beyond}"
        elif high - value < _SHOWN <= value - low:
            said = f"{low:+.1f} to {high:+.1f} points of accuracy, the rest to 100 %{unsure}"
        lines.append(f"the next {_MORE} labels may add {said}")
    elif status.tested:
        lines.append(f"the gain from the next {_MORE} labels can be estimated from three rounds on")
    if status.forecast:
        lines.append(say_labels_to(status.forecast, status.tested[-1].labels))
    if status.random:
        lines.append(_against(status.random))
    if status.random_forecast:
        lines.append(say_random_needed(status.random_forecast))
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
            f"the file '{pending_file(folder, request.name)}' is damaged: delete it, and `fit` trains the round again "
            "and requests the same labels"
        ) from None


def _waiting(question: LabelingBatch, allow_new_classes: bool) -> Waiting:
    try:
        shares = find_shares(question)
    except UserError as error:
        return Waiting(question.name, len(question.items), len(question.items), None, str(error))
    found = [_waiting_in(share.batch, share.file, allow_new_classes) for share in shares]
    if not found:
        return Waiting(question.name, len(question.items), len(question.items), None)
    decisions = file_of(question)
    if decisions.exists() and not any(one.blank or one.mistake for one in found):
        found.append(_undecided(question.name, decisions))
    if len(found) == 1:
        return found[0]
    labels, blank = sum(one.labels for one in found), sum(one.blank for one in found)
    mistake = next((one.mistake for one in found if one.mistake), None)
    return Waiting(question.name, labels, blank, None, mistake, tuple(found))


def _waiting_in(batch: LabelingBatch, file: Path, allow_new_classes: bool) -> Waiting:
    request = len(batch.items)
    try:
        blank = sum(not votes for votes in read_votes(batch, file, allow_new_classes))
    except UserError as error:
        return Waiting(batch.name, request, request, str(file), str(error))
    return Waiting(batch.name, request, blank, str(file))


def _undecided(name: str, file: Path) -> Waiting:
    """Return the disagreements that a person has to decide."""
    header, *lines = read_lines(file)
    place = header.fields.index("label")
    return Waiting(name, len(lines), sum(not line.fields[place].strip() for line in lines), str(file))


def _next_accuracy(records: Sequence[RoundRecord]) -> LabelsTo | None:
    found = _forecast(records)
    target = next_target([record.accuracy for record in records]) if found else None
    return labels_to([found], target) if found and target else None


def _forecast(records: Sequence[RoundRecord]) -> CurveForecast | None:
    labels, accuracies = [record.num_labeled for record in records], [record.accuracy for record in records]
    return forecast(labels, accuracies, records[-1].num_test if records else None)


def _random_forecast(records: Sequence[RoundRecord], of_random: Sequence[Run]) -> LabelsTo | None:
    found = [one for run in of_random if (one := _forecast(last_segment(run.records)))]
    return labels_to(found, max(record.accuracy for record in records)) if records and found else None


def _compared_runs(run: Run, against: Sequence[Path], read: _Reader) -> tuple[list[Run], list[Run]]:
    """Return the runs that differ from this one in their seed only, with it, and those of Random."""
    if last_word(run.config.get("query.class_path")) == "Random":
        return [run], []
    try:
        others = read(tuple(against) or (run.folder.resolve().parent,))
    except UserError:
        if against:
            raise
        return [run], []  # a fault beside the run is not the user's mistake
    # read together with the others, which another version may have made
    run = next((other for other in others if other.folder.resolve() == run.folder.resolve()), run)
    mine, of_random = [run], []
    for other in others:
        if _compared(other) != _compared(run):
            continue
        if last_word(other.config.get("query.class_path")) == "Random":
            of_random.append(other)
        elif other.setting == run.setting and other.folder.resolve() != run.folder.resolve():
            mine.append(other)
    return mine, of_random


def _against_random(run: Run, mine: Sequence[Run], of_random: Sequence[Run]) -> Comparison | None:
    """Compare with runs of Random, each seed with its own."""
    num_test = next((record.num_test for record in run.records), None)
    return against_random(_by_seed(mine), _by_seed(of_random), num_test)


def _compared(run: Run) -> list[tuple[str, str]]:
    return [(key, value) for key, value in run.setting if key.split(".")[0] not in ("query", "oracle")]


def _by_seed(runs: Sequence[Run]) -> dict[int, dict[int, float]]:
    return {
        int(run.config.get("seed", 0)): {r.num_labeled: r.accuracy for r in last_segment(run.records)} for run in runs
    }
