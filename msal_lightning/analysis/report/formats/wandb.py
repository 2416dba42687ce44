"""A report as a run of Weights & Biases: the page as a panel, the tables, and the files as an artifact."""

import math
from pathlib import Path
from typing import Any

from msal_lightning.analysis.report.formats.csv import result_rows
from msal_lightning.analysis.report.result import Report
from msal_lightning.errors import UserError
from msal_lightning.tracking.wandb_run import start_wandb


def log_report(report: Report, folder: Path) -> None:
    """Make a run of job type ``report`` in the project of the runs.

    Args:
        report: the report.
        folder: folder of its files.

    Raises:
        UserError: W&B needs an account, or cannot be reached.
    """
    runs = [run for method in report.comparison.methods for run in method.runs.values()]
    config = {"dataset": report.comparison.dataset, "runs": sorted(str(run.folder) for run in runs)}
    run = start_wandb(job_type="report", name=report.title, dir=str(folder.resolve()), config=config)
    import wandb

    tests = [
        {
            "first": test.first,
            "second": test.second,
            "seeds": test.seeds,
            "difference": test.difference,
            "t-test p": test.t_p,
            "p by Holm": test.holm_p,
            "Wilcoxon p": test.wilcoxon_p,
        }
        for test in report.tests
    ]
    page = folder / "report.html"
    with page.open(encoding="utf-8") as text:
        shown: dict[str, Any] = {"report": wandb.Html(text, inject=False)}  # the page has a style of its own
    shown |= {name: _table(rows) for name, rows in (("results", result_rows(report)), ("tests", tests)) if rows}
    try:
        _send(run, report, folder, shown)
    except (wandb.errors.Error, TimeoutError) as error:
        raise UserError(
            f"W&B did not accept the report ({str(error).splitlines()[0]}): its files are in '{folder}', and the same "
            "command sends it again"
        ) from None


def _send(run: Any, report: Report, folder: Path, shown: dict[str, Any]) -> None:
    import wandb

    run.log(shown)
    tail = "" if report.comparison.imbalance is None else f"-{report.comparison.imbalance}"
    # named by the dataset: a changed report becomes the next version, an unchanged one does not
    files = wandb.Artifact(f"report-{report.comparison.dataset}{tail}", "report", report.title)
    for file in sorted(folder.glob("report.*")):
        files.add_file(str(file))
    run.log_artifact(files)
    run.finish()


def _table(rows: list[dict[str, Any]]) -> Any:
    import wandb

    data = [[None if isinstance(v, float) and math.isnan(v) else v for v in row.values()] for row in rows]
    return wandb.Table(columns=list(rows[0]), data=data)
