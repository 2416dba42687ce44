"""Paths as people write them."""

from pathlib import Path

from jsonargparse import Namespace

from msal_lightning.config.parser import build_parser, parse
from msal_lightning.config.paths import a_path, expand, expand_paths


def test_home_and_variables(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv("SCRATCH", "/scratch")
    assert expand("~/runs") == "/home/ada/runs"
    assert expand("$SCRATCH/${HOME}") == "/scratch//home/ada"
    assert a_path("~") == Path("/home/ada")
    assert expand("a~b/$NOT_SET_AT_ALL/c") == "a~b/$NOT_SET_AT_ALL/c"


def test_only_keys_that_are_paths():
    config = Namespace(run_dir="~x", other="$HOME", seed=3)
    expand_paths(config)
    assert (config.other, config.seed) == ("$HOME", 3)


def test_paths_of_a_configuration(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    words = ["--config", "digits", "--run_dir=~/runs", "--data.root=$HOME/images", "--loop.first_fit", "~/fits/a"]
    config = parse(build_parser(), words)
    assert config.run_dir == "/home/ada/runs"
    assert config.data.init_args.root == "/home/ada/images"
    assert config.loop.first_fit == "/home/ada/fits/a"
