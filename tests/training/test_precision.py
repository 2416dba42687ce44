"""``trainer.precision: auto``: what it chooses, says and keeps."""

import pytest
import torch
import yaml

from msal_lightning.cli.main import main
from msal_lightning.runs.records import read_records
from msal_lightning.training.precision import choose_precision

TINY = [
    "fit",
    "--config",
    "digits",
    "--trainer.max_epochs",
    "1",
    "--loop.query_budget",
    "40",
    "--trainer.accelerator",
    "cpu",
]


@pytest.fixture
def cpu(monkeypatch):
    """``cpu(True)``: a CPU that computes in bfloat16."""

    def pretend(native):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)

    return pretend


@pytest.mark.parametrize(("native", "precision"), [(True, "bf16-mixed"), (False, "32-true")])
def test_auto_is_bfloat16_where_the_cpu_has_it(native, precision, cpu):
    cpu(native)
    assert choose_precision("cpu")[0] == precision


@pytest.mark.parametrize(("native", "precision"), [(True, "bf16-mixed"), (False, "32-true")])
def test_a_gpu_is_asked_before_the_cpu(native, precision, cpu, monkeypatch):
    cpu(not native)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "GPU")
    assert choose_precision("auto") == choose_precision("gpu")
    assert choose_precision("auto")[0] == precision
    assert choose_precision("cpu")[0] != precision


def test_auto_says_what_it_chose_and_a_run_keeps_it(tmp_path, cpu, capsys):
    cpu(True)
    arguments = [*TINY, "--trainer.precision", "auto", "--run_dir", str(tmp_path / "run")]
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("precision bf16-mixed: this CPU computes in bfloat16")
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["trainer"]["precision"] == "bf16-mixed"
    assert {record.environment["precision"] for record in read_records(tmp_path / "run")} == {"bf16-mixed"}

    cpu(False)  # the run goes on on another machine
    (tmp_path / "run" / "rounds" / "001.json").unlink()
    assert main(arguments) == 0
    assert capsys.readouterr().out.startswith("precision bf16-mixed: this run began with it")
    assert main([*arguments, "--overwrite"]) == 0
    assert capsys.readouterr().out.startswith("precision 32-true: this CPU does not compute in bfloat16")


@pytest.mark.parametrize("content", ["", "just text", "trainer: 3", "a: [1", "trainer: {precision: 64-true}"])
def test_a_damaged_configuration_is_not_its_business(content, tmp_path, cpu):
    cpu(False)
    (tmp_path / "config.yaml").write_text(content)
    assert choose_precision("cpu", tmp_path)[0] == "32-true"
