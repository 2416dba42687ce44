"""The two commands of README, done again, and the parts between its marks.

python -m benchmarks.readme run    runs them below runs/readme: some minutes on two cores, resumable. Writes
                                   docs/first_run.txt, docs/digits.csv, docs/digits-report.md and docs/digits.png
python -m benchmarks.readme        rewrites README from these files
"""

import csv
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.marks import fill
from msal_lightning.io.rounding import fixed

ROOT = Path(__file__).parent.parent
DOCS, README = ROOT / "docs", ROOT / "README.md"
FIRST = "fit --config digits"
COMPARE = (
    "sweep table2 --config digits --only Random,Entropy,Margin,MSAL,MSAL-D --seed 0,1,2,3,4 --jobs 2 --out runs/digits",
    "report runs/digits",
    "plot runs/digits --out digits.png",
)


def run(folder: Path) -> None:
    """Run the commands in a folder, and keep what they print, write and draw."""
    folder.mkdir(parents=True, exist_ok=True)
    (DOCS / "first_run.txt").write_text(_printed(f"{FIRST} --overwrite", folder), encoding="utf-8")
    for command in COMPARE:
        _printed(command, folder)
    for file, kept in (("report/report.csv", "digits.csv"), ("digits.png", "digits.png")):
        shutil.copy(folder / file, DOCS / kept)
    report = (folder / "report" / "report.md").read_text(encoding="utf-8")
    (DOCS / "digits-report.md").write_text(report, encoding="utf-8")


def _printed(command: str, folder: Path) -> str:
    print("$", command)
    words = [sys.executable, "-m", "msal_lightning", *command.split()]
    return subprocess.run(words, cwd=folder, stdout=subprocess.PIPE, text=True, check=True).stdout


def parts() -> Mapping[str, str]:
    """Return the text below each mark of README, from the files in docs/."""
    with (DOCS / "digits.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    lines = [
        "| strategy | AUBC | final accuracy |",
        "|---|---:|---:|",
    ]
    for row in rows:
        spreads = (
            f"{fixed(float(row[f'{m}_mean']), 4)} ± {fixed(float(row[f'{m}_std']), 4)}" for m in ("aubc", "f_acc")
        )
        lines.append(f"| {row['method']} | {' | '.join(spreads)} |")
    report = (DOCS / "digits-report.md").read_text(encoding="utf-8")
    verdict = re.search(r"^\d+ of \d+ pairs differ significantly.*$", report, re.MULTILINE)
    return {
        "first run": f"```text\n{(DOCS / 'first_run.txt').read_text(encoding='utf-8').rstrip()}\n```",
        "digits": "\n".join([*lines, "", verdict[0] if verdict else ""]),
    }


if __name__ == "__main__":
    if sys.argv[1:] == ["run"]:
        run(ROOT / "runs" / "readme")
    README.write_text(fill(README, parts()), encoding="utf-8")
