"""The command ``export``. Nothing here imports torch before the options are read."""

import argparse
from pathlib import Path

from msal_lightning.cli.run_options import add_run, add_run_options, data_words
from msal_lightning.config.command_parser import PROGRAM, CommandParser
from msal_lightning.config.paths import a_path
from msal_lightning.io.terminal import say

PROG = f"{PROGRAM} export"


def export(argv: list[str]) -> None:
    """Write the model of a run for other programs.

    Args:
        argv: options of the command.

    Raises:
        UserError: a mistake that the user can correct.
    """
    options = _parse(argv)
    from msal_lightning.inference.export import export_model
    from msal_lightning.inference.formats import check_libraries
    from msal_lightning.inference.ready import ready_model
    from msal_lightning.training.lightning_noise import quiet_lightning

    check_libraries(options.format)
    ready = ready_model(options.run, data_words(options), options.trust)
    say(ready.describe())
    with quiet_lightning():
        found = export_model(ready, options.format, options.out or _run_folder(options.run) / "export")
    same = f"the same, up to {found.difference:.0e}" if found.difference else "exactly the same"
    say(f"'{found.file}' ({found.file.stat().st_size / 1e6:,.1f} MB) computes {same}")
    say(f"'{found.page}' says how to use it; {found.page.with_suffix('.json').name} is the same for programs")


def _run_folder(run: Path) -> Path:
    return run if run.is_dir() else run.absolute().parent.parent


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = CommandParser(
        PROG,
        usage=f"{PROG} RUN --format FORMAT [options]",
        description="Write the last model of a run to one file, in float32, for batches of any size. The command opens "
        "the file, and compares its outputs with those of the model.\n\n"
        "torch-export (model.pt2) needs torch alone, onnx (model.onnx) ONNX Runtime or another such program; both take "
        "pixels from 0 to 255, or features, and give probabilities and embeddings. state-dict (model.ckpt) is for "
        "MSALClassifier.load_from_checkpoint. A card beside it (Markdown and JSON) has classes, preprocessing, "
        "accuracy of each class, and versions.",
        examples=[
            f"{PROG} runs/mine --format onnx",
            f"{PROG} runs/mine/checkpoints/round-003.ckpt --format torch-export --out model",
        ],
    )
    add_run(parser)
    parser.add_argument(
        "--format",
        required=True,
        choices=["torch-export", "onnx", "state-dict"],
        help="torch-export, onnx (extra onnx), or state-dict",
    )
    parser.add_argument("--out", type=a_path, metavar="FOLDER", help="folder for the files (default: RUN/export)")
    add_run_options(parser)
    options: argparse.Namespace = parser.parse_args(argv)
    return options
