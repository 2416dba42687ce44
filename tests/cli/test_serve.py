"""Mistakes of those who start `serve`."""

import socket
import sys

from msal_lightning.cli.main import main


def test_a_folder_that_is_no_run_needs_the_options_of_fit(tmp_path, capsys):
    assert main(["serve", str(tmp_path)]) == 2
    assert "expected RUN to be a run directory" in capsys.readouterr().err


def test_the_missing_extra_is_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main(["serve", str(tmp_path)]) == 2
    assert "python -m pip install 'msal_lightning[serve]'" in capsys.readouterr().err


def test_a_run_whose_labels_are_known_is_not_served(tmp_path, capsys):
    assert main(["serve", str(tmp_path / "run"), "--config", "digits", "--oracle", "Simulated"]) == 2
    assert "expected oracle Files for `serve`, got Simulated" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_port_that_is_taken_is_said(tmp_path, capsys):
    from msal_lightning.errors import UserError
    from msal_lightning.serve.server import Server

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        try:
            Server(lambda *_: None, "token", port=port)
        except UserError as error:
            said = str(error)
    assert f"cannot serve on 127.0.0.1:{port}" in said
    assert "give another --port" in said
