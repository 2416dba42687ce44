"""The four files and the terminal."""

import csv
import html
import json
import re
import shutil
import subprocess
import sys

import pytest

from msal_lightning.analysis.report.formats import latex, markdown
from msal_lightning.cli.main import main
from msal_lightning.io.html_page import render

STRANGE = "<script>alert(1)</script> \"q\" 'q' & $x_1$ 50% #~^\\ | `é` \u2028 日本"


@pytest.fixture
def out(write_run, folder, tmp_path):
    for seed, shift in ((0, 0.0), (1, 0.02), (2, 0.01)):
        write_run(f"r{seed}", [0.5, 0.6 + shift], "Random", seed, dataset="MNIST")
        write_run(f"m{seed}", [0.5, 0.8 - shift], "MSALD", seed, "prototype", dataset="MNIST")
    write_run("e0", [0.5, 0.55], "LeastConfidence", 0, options={"mc_samples": 10}, dataset="MNIST")
    assert main(["report", str(folder), "--out", str(tmp_path / "out")]) == 0
    return tmp_path / "out"


def test_markdown_has_measured_reported_and_difference(out):
    lines = (out / "report.md").read_text().splitlines()
    row = next(line for line in lines if line.startswith("| MSAL-D "))
    # AUBC 0.65, 0.64, 0.645; the paper's 0.9820; F-acc 0.8, 0.78, 0.79; the paper's 0.9931
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:8] == [
        "MSAL-D", "3", "**0.6450 ± 0.0050**", "0.9820 (T2)", "−0.3370", "**0.7900 ± 0.0100**", "0.9931 (T2)", "−0.2031",
    ]  # fmt: skip
    assert "0.9750† (T2)" in next(line for line in lines if line.startswith("| LeastConfD "))
    text = "\n".join(lines)
    assert "The paper's numbers are for 500 to 10,500 labels, these runs have 2 to 4" in text
    assert "not measured here" in text


def test_csv_has_plain_numbers(out):
    rows = {row["method"]: row for row in csv.DictReader((out / "report.csv").read_text().splitlines())}
    assert list(rows) == ["MSAL-D", "Random", "LeastConfD"]
    assert float(rows["MSAL-D"]["aubc_mean"]) == pytest.approx(0.645)
    assert rows["Random"]["aubc_reported"] == "0.959"
    assert rows["Random"]["seeds"] == "0 1 2"
    assert rows["LeastConfD"]["aubc_std"] == ""
    assert float(rows["MSAL-D"]["labels_saved"]) == pytest.approx(4 - (2 + 2 * 0.11 / 0.29))  # 0.61 on 0.5 to 0.79
    assert rows["LeastConfD"]["labels_saved"] == ""


def test_latex_is_booktabs_tables_below_each_other(out):
    text = (out / "report.tex").read_text()
    assert [text.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [3, 3, 3]
    heads = []
    for block in text.split(r"\begin{tabular}")[1:]:
        columns = re.match(r"\{(lr+)\}", block)[1]
        head = block.partition(r"\toprule")[2].partition(r"\midrule")[0]
        body = block.partition(r"\midrule")[2].partition(r"\bottomrule")[0].strip().splitlines()
        assert [line.count(" & ") for line in [head, *body]] == [len(columns) - 1] * 4
        heads.append([cell.strip(" \n\\") for cell in head.split("&")])
    assert [head[0] for head in heads] == ["method"] * 3
    assert [name for head in heads for name in head[1:]] == [
        "seeds", "AUBC", "AUBC reported", "difference", "F-acc", "F-acc reported", "difference", "fit s", "test s",
        "query s", "labels saved", "penalty",
    ]  # fmt: skip
    assert r"\textbf{0.6450 $\pm$ 0.0050}" in text
    assert text.count("{") == text.count("}")


def test_latex_names_what_is_left_out_in_a_comment_only(write_run, folder, tmp_path):
    write_run("a", [0.5, 0.7])
    write_run("100%_b", [0.5], "Margin", loop={"initial_size": 2, "query_size": 2, "query_budget": 2})
    assert main(["report", str(folder), "--out", str(tmp_path / "out")]) == 0
    lines = (tmp_path / "out" / "report.tex").read_text().splitlines()
    assert [line[0] for line in lines if r"100\%\_b is left out: 1 of 2 rounds" in line] == ["%"]


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX here")
def test_latex_compiles_and_fits_on_a_page(out):
    strange = latex.escape(STRANGE.replace("日本", "").replace("\u2028", ""))  # what pdflatex has no letters for
    (out / "doc.tex").write_text(
        r"\documentclass{article}\usepackage[T1]{fontenc}\usepackage{booktabs}\begin{document}\input{report.tex}"
        rf"\par {strange}\end{{document}}"
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "doc.tex"]
    done = subprocess.run(command, cwd=out, capture_output=True, check=False)
    said = done.stdout.decode(errors="replace")
    assert done.returncode == 0, said
    assert "Overfull" not in said


def test_terminal_fits_and_tells_the_tests(out, folder, capsys):
    main(["report", str(folder), "--out", str(out)])
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    for cell in ("0.6450 ± 0.0050", "0.9820 (T2)", "−0.3370", "LeastConfD"):
        assert cell in text
    assert "0 of 1 pairs differ significantly" in text or "1 of 1 pairs differ significantly" in text
    assert "MNIST: 7 runs of 3 methods" in text


def test_page_asks_for_nothing(out):
    text = (out / "report.html").read_text()
    addresses = re.findall(r"https?://[^\s\"']+", text)
    assert set(addresses) == {"http://www.w3.org/2000/svg"}  # a name, which nobody looks up
    assert "default-src 'none'" in text
    assert not re.search(r"{{|}}", re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL))


def test_data_cannot_leave_its_script():
    page = render("msal_lightning.analysis.report.formats", "html", STRANGE, {"name": STRANGE, "end": "</script><!--"})
    text = re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.DOTALL)[1]
    assert not re.search("[<>&\u2028\u2029]", text)
    assert json.loads(text) == {"name": STRANGE, "end": "</script><!--"}
    assert f"<title>{html.escape(STRANGE)}</title>" in page.replace("&#34;", "&quot;").replace("&#39;", "&#x27;")


def test_latex_says_strange_names():
    text = latex.escape(STRANGE)
    assert r"\textless{}script\textgreater{}" in text
    assert r"\$x\_1\$ 50\% \#\textasciitilde{}\textasciicircum{}\textbackslash{} \textbar{}" in text
    assert r"\&" in text


def test_markdown_says_strange_names():
    text = markdown.escape(STRANGE)
    assert r"\<script\>" in text
    assert r"\|" in text
    assert not re.search(r"(?<!\\)[<>|`*]", text)


def test_a_folder_that_cannot_be_written_is_named(write_run, folder, capsys, tmp_path):
    write_run("a", [0.5, 0.7])
    (tmp_path / "file").write_text("")
    assert main(["report", str(folder), "--out", str(tmp_path / "file")]) == 2
    assert "--out" in capsys.readouterr().err


def test_one_seed_gives_no_test(write_run, folder, capsys, tmp_path):
    write_run("a", [0.5, 0.7])
    write_run("b", [0.5, 0.6], "Margin")
    assert main(["report", str(folder), "--out", str(tmp_path / "out")]) == 0
    assert "No pair of methods shares two seeds: no test." in capsys.readouterr().out
    assert "Wilcoxon p |" not in (tmp_path / "out" / "report.md").read_text()


def test_a_single_method_is_a_report_too(write_run, folder, tmp_path):
    write_run("a", [0.5])
    assert main(["report", str(folder), "--out", str(tmp_path / "out")]) == 0
    assert "| Random | 1 | – |" in (tmp_path / "out" / "report.md").read_text()


def test_help_imports_no_torch(tmp_path):
    code = (
        "import sys\nfrom msal_lightning.cli.main import main\n"
        "try: main(['report', '--help'])\nexcept SystemExit: sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--out" in done.stdout


# ---------------------------------------------------------------- unequal seeds


@pytest.fixture
def unequal(write_run, folder, tmp_path):
    """BADGE has seed 0 only, on which Margin is better; its mean over two seeds is lower."""
    for seed, accuracy in ((0, 0.8), (1, 0.2)):
        write_run(f"m{seed}", [0.5, accuracy], "Margin", seed)
        write_run(f"r{seed}", [0.5, 0.125], "Random", seed)
    write_run("b0", [0.5, 0.7], "BADGE", 0)
    assert main(["report", str(folder), "--out", str(tmp_path / "out")]) == 0
    return tmp_path / "out"


def test_one_lucky_seed_does_not_win(unequal, folder, capsys):
    assert main(["report", str(folder), "--out", str(unequal)]) == 0
    shown = capsys.readouterr().out
    rows = list(csv.DictReader((unequal / "report.csv").read_text().splitlines()))
    assert [row["method"] for row in rows] == ["Margin", "BADGE", "Random"]
    assert [row["other_seeds"] for row in rows] == ["0", "1", "0"]
    assert float(rows[0]["aubc_shared_seeds"]) == pytest.approx(0.65)
    assert float(rows[0]["aubc_mean"]) < float(rows[1]["aubc_mean"])
    text = (unequal / "report.md").read_text()
    assert "| Margin | 2 | **0.5000 ± 0.2121** |" in text
    assert "| BADGE | 1 ‡ | 0.6000 |" in text
    note = "Methods have different seeds: order and bold compare means over seed 0, which all methods have"
    latex_text = (unequal / "report.tex").read_text()
    assert r"1 $^\ddagger$" in latex_text
    page_data = (unequal / "report.html").read_text()
    for output in (" ".join(shown.split()), text, latex_text, page_data):
        assert note in output
    assert "1 ‡" in shown
    assert "1 ‡" in page_data or r"1 \u2021" in page_data


def test_without_a_shared_seed_nothing_wins(write_run, folder, tmp_path):
    write_run("m0", [0.5, 0.8], "Margin", 0)
    write_run("b1", [0.5, 0.7], "BADGE", 1)
    assert main(["report", str(folder), "--out", str(tmp_path / "out")]) == 0
    text = (tmp_path / "out" / "report.md").read_text()
    assert "No seed is common to all methods" in text
    assert "**" not in text.partition("## Paired tests")[0]


def test_equal_seeds_are_not_marked(write_run, folder, tmp_path):
    for seed in (0, 1):
        write_run(f"m{seed}", [0.5, 0.8], "Margin", seed)
        write_run(f"b{seed}", [0.5, 0.7], "BADGE", seed)
    assert main(["report", str(folder), "--out", str(tmp_path / "out")]) == 0
    assert "‡" not in (tmp_path / "out" / "report.md").read_text()


def test_a_number_is_rounded_alike_in_table_and_page(unequal):
    """0.125: Python alone would write 0.12, the page 0.13."""
    found = json.loads(re.search(r'id="data"[^>]*>(.*?)</script>', (unequal / "report.html").read_text(), re.S)[1])
    random = next(method for method in found["methods"] if method["name"] == "Random")
    assert random["curve"][-1][1] == 0.125
    assert "| Random | 2 | 0.3125 ± 0.0000 | 0.1250 ± 0.0000 |" in (unequal / "report.md").read_text()
