"""Overwriting pictures: a file that a person names is replaced if it is a picture, and nothing else is."""

from pathlib import Path

from msal_lightning.errors import ConfigError

_HEAD = 4096  # bytes in which an SVG has its root element


def refuse_no_picture(out: str) -> None:
    """Refuse to overwrite a file that is not a picture of the kind that its name says.

    Args:
        out: as a person named it.

    Raises:
        ConfigError: it is a folder, or a file of another kind; a PDF file has to be a figure that was drawn here.
    """
    file = Path(out)
    if file.is_dir():
        raise ConfigError(f"expected --out '{out}' to be a file, found a folder: name a file in it, {out}/figure.png")
    try:
        content = file.read_bytes()
    except OSError:  # it is not there, or writing says what is wrong
        return
    looks_right = {
        ".jpg": content.startswith(b"\xff\xd8"),
        ".jpeg": content.startswith(b"\xff\xd8"),
        ".png": content.startswith(b"\x89PNG"),
        ".svg": b"<svg" in content[:_HEAD],
        ".pdf": content.startswith(b"%PDF") and b"/Creator (Matplotlib" in content,  # not somebody's thesis
    }
    if content and not looks_right.get(file.suffix.lower(), False):
        raise ConfigError(f"the file '{out}' is there already and no picture of this program: choose another --out")
