"""The command ``labels``: write the labels of a run into a file."""

from pathlib import Path

from msal_lightning.data.features.source_images import read_source
from msal_lightning.data.label_files.writing import write_label_file
from msal_lightning.data.places import REASONS
from msal_lightning.errors import ConfigError
from msal_lightning.io.terminal import say
from msal_lightning.io.wording import counted
from msal_lightning.runs.labels import labels_of
from msal_lightning.runs.reading import Run, read_run


def labels(folder: Path, out: Path, format: str, root: Path | None = None) -> None:
    """Write the labels that a run has so far, by class names.

    Args:
        folder: the run directory.
        out: the new file; for ``hf`` the new folder.
        format: one of :data:`~msal_lightning.data.label_files.writing.FORMATS`.
        root: folder of the images, if it is not the one in the configuration.

    Raises:
        ConfigError: the file exists already, or cannot be written.
        UserError: the folder is no run directory, or the format needs images that are missing.
    """
    run = read_run(folder)
    found = labels_of(run, root or _images(run))
    labeled = sum(row.label not in REASONS for row in found.rows)
    if not labeled:
        raise ConfigError(f"expected a run with labels, got none in '{folder}': label some images first")
    if out.exists() or out.is_symlink():
        raise ConfigError(f"expected --out to be a new file, but '{out}' exists: name another one, or remove it")
    try:
        write_label_file(found, out, format)
    except OSError as error:
        raise ConfigError(
            f"cannot write '{out}' ({error.strerror or error}): set --out to a file in a folder of yours"
        ) from None
    skipped = len(found.rows) - labeled
    beside = (f" and {skipped} skipped" if format == "csv" else f"; {skipped} skipped left out") if skipped else ""
    say(f"{counted(labeled, 'label')} of {counted(len(found.class_names), 'class')}{beside}: {out}")


def _images(run: Run) -> Path:
    """Return the folder in which the paths of a run's images begin."""
    root = Path(str(run.config.get("data.init_args.root") or "."))
    if run.dataset != "Embeddings":
        return root
    return Path(str(run.config.get("data.init_args.image_root") or read_source(root)[0]))
