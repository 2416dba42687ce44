"""A process that reads images ends with the command that started it, and prints nothing about that."""

import time

import psutil
import pytest

from msal_lightning.data.batches.workers import print_unless_lost

SCRIPT = """
import os, signal, time
from pathlib import Path

from msal_lightning.datasets import Digits


class Killed:
    def __iter__(self):
        while not (Path("worker").exists() and Path("worker").read_text()):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)
        yield


class Slow(Digits):
    def _loader(self, view, order):
        loader = super()._loader(view, Killed())
        check = loader.worker_init_fn

        def after_the_kill(worker):
            parent = os.getppid()
            Path("worker").write_text(str(os.getpid()))
            while os.getppid() == parent:
                time.sleep(0.01)
            check(worker)

        loader.worker_init_fn = after_the_kill
        return loader


data = Slow()
data.num_workers = 1
data.prepare_data()
data.setup("fit")
iter(data.test_dataloader())
"""


def ended(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_worker_whose_parent_was_killed_at_its_start(commands, tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    done = commands.run("script.py", cwd=tmp_path)
    assert done.returncode == -9, done.stderr
    worker, end = int((tmp_path / "worker").read_text()), time.monotonic() + 30
    while not ended(worker):
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("error", [ConnectionResetError(), EOFError(), BrokenPipeError()])
def test_a_connection_that_broke_at_the_end_is_not_worth_a_traceback(error, capsys):
    print_unless_lost(type(error), error, None)
    assert capsys.readouterr() == ("", "")


def test_other_errors_of_a_worker_are_printed(capsys):
    print_unless_lost(ValueError, ValueError("five"), None)
    assert "ValueError: five" in capsys.readouterr().err


def test_any_error_of_the_thread_that_hands_images_over_is_kept_from_the_screen(capsys):
    code = compile(
        "raise AssertionError('a greeting that broke off')", "/lib/multiprocessing/resource_sharer.py", "exec"
    )
    try:
        exec(code)
    except AssertionError as error:
        print_unless_lost(AssertionError, error, error.__traceback__.tb_next)
    assert capsys.readouterr().err == ""
