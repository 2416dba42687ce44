"""From the command line to the first training step, and light commands; seconds of whole processes."""

import os
import statistics
import subprocess
import sys
import tempfile
from typing import Any

from benchmarks.measure import RUNS, Row, seconds

LIGHT = (["--help"], ["strategies"], ["datasets"], ["plot", "--help"])


def stop_at_first_step(arguments: list[str]) -> None:
    """In a process of its own: ``fit``, as far as its first training step."""
    from msal_lightning.cli.main import main
    from msal_lightning.models.classifier import MSALClassifier

    def stop(*args: Any) -> None:
        os._exit(0)

    MSALClassifier.training_step = stop  # type: ignore[method-assign,assignment]
    main(arguments)


def run() -> list[Row]:
    """Medians."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["fit", "--config", "digits", "--run_dir", f"{folder}/run"]
        code = f"from benchmarks.start_up import stop_at_first_step as s; s({arguments!r})"
        fit = [sys.executable, "-c", code]
        lightning = [sys.executable, "-c", "import lightning.pytorch"]
        commands = {"fit to its first step": fit, "import lightning": lightning}
        commands |= {" ".join(words): [sys.executable, "-m", "msal_lightning", *words] for words in LIGHT}
        times = {
            name: statistics.median(
                seconds(lambda c=command: subprocess.run(c, check=True, capture_output=True)) for _ in range(RUNS)
            )
            for name, command in commands.items()
        }
    first, library = times.pop("fit to its first step"), times.pop("import lightning")
    rows = [Row("fit to its first step, s", {"import lightning alone": library}, first, 8.0, at_least=False)]
    return rows + [Row(f"{name}, s", {}, value, 0.5, at_least=False) for name, value in times.items()]
