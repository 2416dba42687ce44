"""Overwrite a file that a user names only if it is a picture."""

from pathlib import Path

from msal_lightning.errors import ConfigError

_HEAD = 4096  # the root element of an SVG lies in this many bytes


def refuse_no_picture(out: str) -> None:
    """Refuse to overwrite a file unless it is a picture of the kind in its name.

    Args:
        out: path from the user.

    Raises:
        ConfigError: the path is a folder or a file of another kind; a PDF file must be a figure of this program.
    """
    file = Path(out)
    if file.is_dir():
        raise ConfigError(f"expected --out '{out}' to be a file, found a folder: name a file in it, {out}/figure.png")
    try:
        content = file.read_bytes()
    except OSError:  # missing; otherwise writing reports the error
        return
    looks_right = {
        ".jpg": content.startswith(b"\xff\xd8"),
        ".jpeg": content.startswith(b"\xff\xd8"),
        ".png": content.startswith(b"\x89PNG"),
        ".svg": b"<svg" in content[:_HEAD],
        ".pdf": content.startswith(b"%PDF") and b"/Creator (Matplotlib" in content,  # not somebody's thesis
    }
    if content and not looks_right.get(file.suffix.lower(), False):
        raise ConfigError(f"the file '{out}' exists and is no picture of this program: choose another --out")
