"""Starts Python commands in processes that are forked from one which has imported everything.

A command of ours spends seconds on imports. A fork has them already, and is otherwise what ``python -m`` starts: its
own arguments, folder, environment, streams, signals and exit. Several ranks get the environment that torchrun gives.
"""

import functools
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path


class Commands:
    """The server of a test session; it starts with the first command."""

    def __init__(self):
        self._server = None

    def run(self, *words, cwd, ranks=1, timeout=120, **environment):
        """As :func:`subprocess.run` with text output: ``run("-m", "msal_lightning", "fit", cwd=folder)``."""
        process = self.start(*words, cwd=cwd, ranks=ranks, **environment)
        try:
            out, err = process.communicate(timeout)
        finally:
            process.kill_group()
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def start(self, *words, cwd, ranks=1, stdin=os.devnull, log=None, **environment):
        """As :class:`subprocess.Popen`, in a process group of its own; output is appended to the file ``log``."""
        folder = Path(tempfile.mkdtemp(prefix="streams"))
        files = [str(file) for file in (stdin, log or folder / "out", log or folder / "err")]
        job = {"words": [str(word) for word in words], "cwd": str(cwd), "files": files, "ranks": ranks}
        return Process(self, self.ask(job | {"environment": {**os.environ, **environment}}), folder)

    def ask(self, job):
        if self._server is None:
            command = [sys.executable, __file__]
            self._server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._server.stdin.write(json.dumps(job) + "\n")
        self._server.stdin.flush()
        return json.loads(self._server.stdout.readline())

    def close(self):
        if self._server is not None:
            self._server.communicate()


class Process:
    """A command that runs, with the methods of :class:`subprocess.Popen` that tests use."""

    def __init__(self, commands, pids, folder):
        self._commands, self._folder, self._left = commands, folder, set(pids)
        self.pid, self.returncode = pids[0], None

    def poll(self):
        for pid in [*self._left]:
            code = self._commands.ask({"poll": pid})
            if code is not None:
                self._left.remove(pid)
                self.returncode = code if pid == self.pid else self.returncode
        return None if self._left else self.returncode

    def communicate(self, timeout=120):
        end = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired(str(self.pid), timeout, *self._read())
            time.sleep(0.03)
        return self._read()

    def send_signal(self, signum):
        if self.poll() is None:
            os.kill(self.pid, signum)

    def kill_group(self):
        """End all that is left of the command; nothing after a normal end."""
        if self.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)
            self.communicate()

    def _read(self):
        return [(self._folder / name).read_text() for name in ("out", "err")]


def serve():
    """Answer requests until one is for this process, a fork, to run: returns it, or None at the end."""
    for line in sys.stdin:
        request = json.loads(line)
        if "poll" in request:
            pid, status = os.waitpid(request["poll"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        else:
            answer = []
            ranks = torchrun(request["ranks"])
            for variables in ranks:
                pid = os.fork()
                group = answer[0] if answer else pid
                os.setpgid(pid, group)
                if not pid:
                    return request | {"environment": request["environment"] | variables}
                answer.append(pid)
        print(json.dumps(answer), flush=True)
    return None


def torchrun(ranks):
    """The variables of each process, see https://pytorch.org/docs/stable/elastic/run.html; none for one process."""
    if ranks == 1:
        return [{}]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(ranks), "GROUP_RANK": "0"}
    shared |= {"LOCAL_WORLD_SIZE": str(ranks), "TORCHELASTIC_RUN_ID": "none"}
    return [{**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(ranks)]


def become(request):
    """Run the command in this process as the interpreter would."""
    import runpy

    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["cwd"])
    stdin, *outputs = request["files"]
    os.dup2(os.open(stdin, os.O_RDWR), 0)  # a FIFO opened so never ends
    for number, file in enumerate(outputs, 1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    sys.stdin = open(0)  # noqa: SIM115
    first, *sys.argv[1:] = request["words"]
    if first == "-m":
        sys.path[0] = os.getcwd()  # noqa: PTH109
        del sys.argv[1]
        runpy.run_module(request["words"][1], run_name="__main__", alter_sys=True)
    else:
        sys.argv[0] = first
        sys.path[0] = os.path.dirname(os.path.abspath(first))  # noqa: PTH100, PTH120
        runpy.run_path(first, run_name="__main__")


if __name__ == "__main__":
    import torch
    from lightning.fabric.utilities import registry

    import msal_lightning.cli.datasets
    import msal_lightning.cli.embed.parts
    import msal_lightning.cli.fit
    import msal_lightning.cli.label
    import msal_lightning.cli.query
    import msal_lightning.cli.report  # noqa: F401
    from msal_lightning.config.parser import build_parser, parse  # all this takes seconds

    torch.set_num_threads(1)
    os.fsync = lambda descriptor: None  # as in conftest.py
    registry.entry_points = functools.cache(registry.entry_points)  # each Trainer would look at all installed packages
    registry.entry_points(group="lightning.pytorch.callbacks_factory")
    parse(build_parser(), ["--config", "digits"])  # a parser is made once, and a signature read once
    gc.collect()
    gc.freeze()  # a collection in a fork would copy every page of what is imported
    if mine := serve():
        become(mine)
