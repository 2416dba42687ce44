"""Another machine, another result: what a resumed run says about it."""

import torch
from lightning.pytorch import Trainer

from msal_lightning.training.environment import environment, say_changed_environment, say_mixed_environments


def test_an_environment_names_threads_versions_and_processes():
    found = environment(Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, barebones=False))
    assert found["threads"] == str(torch.get_num_threads())
    assert found["torch"] == torch.__version__.split("+")[0] or found["torch"] == torch.__version__
    assert found["processes"] == "1"
    assert found["device"].startswith("cpu (")


def test_whatever_differs_is_named_with_both_values():
    before = {"torch": "2.5.1", "threads": "8", "device": "cpu (x86_64)", "python": "3.11.1"}
    now = before | {"threads": "2", "device": "NVIDIA H100", "python": "3.12.0"}
    assert say_changed_environment(before, before) is None
    line = say_changed_environment(before, now)
    assert "device cpu (x86_64) (now NVIDIA H100), threads 8 (now 2)" in line
    assert "python" not in line
    assert "torch" not in line


def test_what_older_records_lack_is_not_compared():
    now = dict.fromkeys(("msal_lightning", "lightning", "torch", "device", "precision", "processes", "threads"), "1")
    assert say_changed_environment({"torch": "1"}, now) is None
    assert say_changed_environment({}, now) is None


def test_a_comparison_names_what_its_runs_do_not_share():
    same = {"torch": "2.6.0", "device": "cpu (x86_64)", "python": "3.11"}
    assert say_mixed_environments([same, same, {}]) is None
    line = say_mixed_environments([same | {"threads": "2"}, same | {"threads": "16", "python": "3.12"}])
    assert line.startswith("the runs were trained with different threads (16, 2):")
