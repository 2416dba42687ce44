"""``serve``: a labeling page on a running loop."""

from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msal_lightning.cli.fit import open_loop
from msal_lightning.cli.resume import go_on
from msal_lightning.config.command_parser import PROGRAM, TRUST_HELP, CommandParser
from msal_lightning.config.paths import a_path
from msal_lightning.errors import AnnotationError, ConfigError, UserError
from msal_lightning.io.terminal import say
from msal_lightning.oracles.base import Oracle
from msal_lightning.oracles.csv_files.oracle import Files
from msal_lightning.oracles.told import Told

if TYPE_CHECKING:
    from argparse import Namespace

    from msal_lightning.loop.loop import ActiveLoop


def serve(argv: list[str]) -> None:
    """Begin or resume a run whose labels people give on a page in the browser.

    Args:
        argv: ``RUN`` and options of ``fit``.

    Raises:
        UserError: the extra ``serve`` is missing, the port is taken, or see :func:`~msal_lightning.cli.fit.fit`.
    """
    prog = f"{PROGRAM} serve"
    parser = CommandParser(
        prog,
        usage=f"{prog} RUN [--host ADDRESS] [--port PORT] [options of fit]",
        description="Serve a page on which people label the images of a run, while it fits and queries. RUN is a run "
        "directory that waits for labels, or a new one with the options of `fit`.",
        examples=[
            f"{prog} runs/mine",
            f"{prog} runs/new --config image_folder --data.root photos --data.unlabeled true --data.classes "
            "'[cat, dog]' --loop.held_out 50",
            f"{prog} runs/mine --host 0.0.0.0 --port 8500",
        ],
    )
    parser.add_argument("run", metavar="RUN", type=a_path, help="the run directory")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address to bind to (default: %(default)s, this machine only); the connection is not encrypted, so bind "
        "to another one only in a network that you trust",
    )
    parser.add_argument("--port", type=int, metavar="PORT", help="port (default: 8410, or another free one)")
    parser.add_argument("--trust", action="append", default=[], metavar="DOTTED.PATH", help=TRUST_HELP)
    options, changes = parser.parse_known_args(argv)
    _check_extra()
    run = Path(options.run)

    def begin(words: list[str], base: Mapping[str, Any] | None = None) -> None:
        with open_loop(words, base, told_instead) as (loop, _):
            _label(loop, options)

    if changes and not (run / "config.yaml").exists():
        oracle = [] if _names_oracle(changes) else ["--oracle", "Files"]
        begin([*oracle, *changes, "--run_dir", str(run)])
    else:
        go_on(run, changes, options.trust, begin)


def told_instead(own: Oracle | None) -> Told:
    """Return the oracle of the page in the place of that of the configuration.

    Args:
        own: the oracle of the configuration.

    Raises:
        AnnotationError: people label elsewhere, or nobody does.
    """
    if isinstance(own, Told):
        return own
    if not isinstance(own, Files):
        name = "Simulated" if own is None else type(own).__name__
        raise AnnotationError(f"expected oracle Files for `serve`, got {name}: add --oracle Files")
    if own.annotators:
        raise AnnotationError(
            "expected no oracle.annotators for `serve`, where everybody gets other images, got "
            f"{', '.join(own.annotators)}: leave them out"
        )
    return Told(own.allow_new_classes)


def _names_oracle(changes: list[str]) -> bool:
    return any(word.partition("=")[0] == "--oracle" for word in changes)


def _check_extra() -> None:
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"`serve` needs the package {error.name}, which is not installed: "
            "`python -m pip install 'msal_lightning[serve]'`, or label by files with `fit` and --oracle Files"
        ) from None


def _label(loop: "ActiveLoop", options: "Namespace") -> None:
    from msal_lightning.serve.app import make_app
    from msal_lightning.serve.desk import Desk
    from msal_lightning.serve.embedding_map import EmbeddingMap
    from msal_lightning.serve.pictures import Pictures
    from msal_lightning.serve.server import Server, token_of
    from msal_lightning.serve.work import work

    path = loop.run_directory.path
    desk = Desk(loop.tell, loop.oracle.allow_new_classes)
    plane = EmbeddingMap(loop.data, path)
    app = make_app(desk, Pictures(loop.data), lambda: plane.look(desk.places()))
    server = Server(app, token_of(path), options.host, options.port)
    with closing(plane), closing(loop), server:
        say(f"label at {server.address}", flush=True)
        say("(Ctrl-C ends the page; `serve` resumes it, and each answer is on disk)", flush=True)
        try:
            work(loop, desk, plane.learn)
        except UserError as error:
            desk.fail(str(error))
            server.let_read()
            raise
        say("the run has finished; the page shows its curve until Ctrl-C", flush=True)
        with suppress(KeyboardInterrupt):
            server.wait()
