"""Shards on Ray: the files are those of the local executor, also when a node is killed."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from msal_lightning.cli.embed.parts import prepare_words
from msal_lightning.cli.main import main
from msal_lightning.data.features.manifest import write_text
from msal_lightning.embed.cluster import run_shard
from msal_lightning.embed.run import describe_source

MODEL = ["--model", "SmallCNN", "--model.width", "4", "--size", "64", "--accelerator", "cpu", "--precision", "32-true"]


def contents(folder):
    """All files and their bytes; the lock belongs to nobody by now."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.name != "lock")
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def test_the_missing_extra_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["embed", str(tmp_path), "--out", str(tmp_path / "out"), *MODEL, "--executor", "ray"]) == 2
    assert "`python -m pip install 'msal_lightning[ray]'`" in capsys.readouterr().err


def draw(folder, count):
    draws = np.random.default_rng(0)
    for k in range(count):
        folder.joinpath("ab"[k % 2]).mkdir(parents=True, exist_ok=True)
        pixels = draws.integers(0, 256, (80, 90, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "ab"[k % 2] / f"{k:04d}.png")


def test_a_task_computes_one_shard_or_stops(tmp_path, monkeypatch):
    """What a node does, in this process."""
    monkeypatch.chdir(tmp_path)
    draw(tmp_path / "photos", 20)
    words = ["photos", *MODEL, "--rows_per_shard", "12", "--batch_size", "4", "--num_workers", "1", "--out"]
    assert main(["embed", *words, "near"]) == 0
    parts = prepare_words((*words, "far"))
    (tmp_path / "far" / "unfinished").mkdir(parents=True)
    manifest = parts.embedding.begin(parts.manifest(describe_source(parts.data, tmp_path / "far")))
    stop = tmp_path / "far" / "unfinished" / "stop"
    stop.touch()
    assert run_shard(prepare_words, (*words, "far"), str(tmp_path), "", 0) == "the command was stopped"
    assert (tmp_path / "far" / "unfinished" / "0-0.npz").exists()
    stop.unlink()
    for number in (1, 0):
        assert run_shard(prepare_words, (*words, "far"), str(tmp_path), "", number) == ""
    (tmp_path / "far" / "manifest.json").write_text(write_text({**manifest, "device": "cuda"}))
    expected = "expected a node like the first one, got device cuda instead of cpu: choose equal nodes"
    assert expected in run_shard(prepare_words, (*words, "far"), str(tmp_path), "", 0)
    parts.embedding.finish(manifest)
    far, near = contents(tmp_path / "far"), contents(tmp_path / "near")
    assert far == {name: content for name, content in near.items() if name != "msal_lightning.json"}
    mistake = run_shard(prepare_words, (*words, "far", "--size", "3"), str(tmp_path), "", 0)
    assert mistake.startswith("expected --size to be 64")


@pytest.mark.faults
def test_a_node_is_killed(tmp_path, monkeypatch):
    """24 shards on two nodes of one core; one is killed in the middle."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    monkeypatch.chdir(tmp_path)
    draw(tmp_path / "photos", 1200)
    words = ["embed", "photos", *MODEL, "--rows_per_shard", "50", "--batch_size", "8", "--num_workers", "1", "--out"]
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        second = cluster.add_node(num_cpus=1)
        process = subprocess.Popen(
            [sys.executable, "-m", "msal_lightning", *words, "far", "--executor", "ray"],
            env={**os.environ, "RAY_ADDRESS": cluster.address},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        while len(list(tmp_path.glob("far/features-*"))) < 4 and process.poll() is None:
            time.sleep(0.01)
        before = len(list(tmp_path.glob("far/features-*")))
        cluster.remove_node(second, allow_graceful=False)
        out, _ = process.communicate(timeout=400)
    finally:
        cluster.shutdown()
    assert process.returncode == 0, out
    assert before < 24
    assert main([*words, "near"]) == 0
    assert contents(tmp_path / "far") == contents(tmp_path / "near")
