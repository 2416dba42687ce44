"""Other systems lack some modules and names of Linux: the package imports without them."""

WITHOUT = """
import os, pkgutil, signal, sys
for name in [name for name in sys.modules if name.partition(".")[0] == "msal_lightning"]:
    del sys.modules[name]  # imported anew below
import filelock, lightning.pytorch, matplotlib.pyplot, rich, scipy.stats, sklearn.cluster, torch, torchvision, wandb
for name in ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty"):
    sys.modules[name] = None
for module, names in (
    (os, ("register_at_fork", "sched_getaffinity", "fork", "getuid", "geteuid", "O_NOFOLLOW", "O_DIRECTORY", "sysconf",
          "killpg", "setsid", "uname")),
    (signal, ("SIGKILL", "SIGSTOP", "SIGUSR1", "SIGHUP", "pthread_sigmask")),
):
    for name in names:
        delattr(module, name)
import msal_lightning
modules = [m.name for m in pkgutil.walk_packages(msal_lightning.__path__, "msal_lightning.")]
for name in modules:
    if not name.endswith("__main__"):
        __import__(name)
print(len(modules))
from msal_lightning.runs.directory import RunDirectory
run = RunDirectory(sys.argv[1], {"seed": 0})
run.open()
from msal_lightning.io.lock import DirectoryLock
assert str(os.getpid()) in DirectoryLock(run.path / "lock").holder()
run.close()
"""


def test_the_package_imports_without_what_windows_and_macos_lack(tmp_path, commands):
    (tmp_path / "without.py").write_text(WITHOUT)
    done = commands.run("without.py", tmp_path / "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100
