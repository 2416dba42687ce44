"""The command ``figure``. It imports heavy modules only after it has parsed its options."""

import argparse
from typing import Any

from msal_lightning.config.command_parser import PROGRAM, RUNS_HELP, CommandParser
from msal_lightning.config.paths import expand

PROG = f"{PROGRAM} figure"
KINDS = {
    "budget": "test accuracy over labels, mean and band over seeds (the paper's Figs. 1 and 4)",
    "tsne": "embeddings of the pool and of the queried images, round by round (Fig. 2)",
    "pool-error": "error rate on the pool, round by round (Fig. 3)",
    "query-size": "AUBC and final accuracy over loop.query_size (Fig. 5)",
    "ranks": "mean ranks of strategies over datasets or seeds, and those that do not differ (Demšar 2006)",
    "confusion": "the confusion matrix of one round, on the test set of one run",
    "contact-sheet": "the images that each strategy queried",
}


def figure(argv: list[str]) -> None:
    """Draw one figure.

    Args:
        argv: the figure's kind, run directories, and options.

    Raises:
        UserError: an option is wrong, or the figure cannot be drawn from these runs.
    """
    options = _parser().parse_args(argv)
    out = options.out or f"{options.kind}.png"
    if options.kind == "budget":
        from msal_lightning.analysis.figures.budget import plot

        plot(options.runs, out)
    elif options.kind == "pool-error":
        from msal_lightning.analysis.figures.pool_error import draw_pool_error

        draw_pool_error(options.runs, out)
    elif options.kind == "query-size":
        from msal_lightning.analysis.figures.query_size import draw_query_size

        draw_query_size(options.runs, out)
    elif options.kind == "ranks":
        from msal_lightning.analysis.figures.ranks import draw_ranks

        draw_ranks(options.runs, out)
    elif options.kind == "confusion":
        from msal_lightning.analysis.figures.confusion import draw_confusion

        draw_confusion(options.runs, out, options.round)
    elif options.kind == "tsne":
        from msal_lightning.analysis.figures.tsne import draw_tsne

        draw_tsne(options.runs, out, options.rounds, options.points)
    else:
        from msal_lightning.analysis.figures.contact_sheet import draw_contact_sheet

        draw_contact_sheet(options.runs, out, options.rounds, options.images, options.root, options.trust)


class _Kind(CommandParser):
    """The options of one kind of figure. It refuses unknown ones, which argparse would pass on to ``figure``."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        options, rest = super().parse_known_args(args, namespace)
        if rest:
            self.refuse(rest[0])
        return options, rest


def _parser() -> CommandParser:
    parser = CommandParser(
        PROG,
        description="Draw a figure of the paper, a confusion matrix, or the queried images. `figure KIND --help` shows "
        "the options of a figure.",
        examples=[
            f"{PROG} budget runs --out curves.pdf",
            f"{PROG} tsne runs/mine --rounds 0,5,10",
            f"{PROG} contact-sheet runs --images 20",
        ],
    )
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND", parser_class=_Kind)
    for name, text in KINDS.items():
        kind = kinds.add_parser(name, help=text, description=f"Draw {text}.")
        kind.add_argument("runs", nargs="+", metavar="RUNS", type=expand, help=RUNS_HELP)
        kind.add_argument(
            "--out", metavar="FILE", type=expand, help=f"the picture: png, svg or pdf (default: {name}.png)"
        )
        if name == "confusion":
            kind.add_argument("--round", type=int, metavar="K", help="round to draw (default: the last finished one)")
        if name in ("tsne", "contact-sheet"):
            kind.add_argument("--rounds", type=_rounds, metavar="K,K", help="rounds to draw (default: evenly spread)")
        if name == "tsne":
            points = "number of pool images in each row, all its rounds together (default: %(default)s)"
            kind.add_argument("--points", type=_positive, default=1500, metavar="N", help=points)
        if name == "contact-sheet":
            kind.add_argument(
                "--images", type=_positive, default=10, metavar="N", help="images per round (default: %(default)s)"
            )
            kind.add_argument(
                "--root", metavar="FOLDER", type=expand, help="folder of the images (default: data.root of the runs)"
            )
            kind.add_argument(
                "--trust",
                action="append",
                default=[],
                metavar="DOTTED.PATH",
                help="a third-party class that the runs' configurations may name; may be repeated",
            )
    return parser


def _rounds(text: str) -> list[int]:
    words = text.split(",")
    if not all(word.strip().isdecimal() for word in words):
        raise argparse.ArgumentTypeError(f"expected numbers of rounds like 1,5,10, got '{text}'")
    return sorted({int(word) for word in words})


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number of at least 1, got '{text}'")
    return int(text)
