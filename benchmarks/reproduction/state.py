"""The state of the reproduction's runs, small enough to be carried: ``docs/reproduction-state.tar.xz``.

    python -m benchmarks.reproduction.state runs/sweep-reproduce

packs what a run needs to go on: its configuration and its records. ``tar xf docs/reproduction-state.tar.xz`` in an
empty folder, then the same ``sweep`` with ``--out sweep-reproduce``, continue it on another machine.
"""

import argparse
import io
import re
import tarfile
from pathlib import Path

from msal_lightning.io.atomic import write_atomically

STATE = Path(__file__).parents[2] / "docs" / "reproduction-state.tar.xz"
_NEEDED = re.compile(r"(sweep|msal_lightning)\.json|[^/]+/(config\.yaml|msal_lightning\.json|rounds/\d+\.json)")


def packed(out: Path) -> bytes:
    """Return the archive; equal states give equal bytes, and nothing of the machine is in it."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:xz", preset=9) as archive:
        for file in sorted(out.rglob("*")):
            name = file.relative_to(out).as_posix()
            if not _NEEDED.fullmatch(name):
                continue
            data = file.read_bytes()
            if file.name == "config.yaml":
                data = re.sub(rb"(?m)^run_dir: .*", b"run_dir: sweep-reproduce/" + file.parent.name.encode(), data)
            entry = tarfile.TarInfo(f"sweep-reproduce/{name}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return content.getvalue()


def main() -> None:
    """Pack the state."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder of `sweep reproduce`")
    parser.add_argument("--file", type=Path, default=STATE, help="the archive")
    options = parser.parse_args()
    content = packed(options.out)
    write_atomically(options.file, content)
    print(f"{len(content) / 1e6:.1f} MB in {options.file.name}")


if __name__ == "__main__":
    main()
