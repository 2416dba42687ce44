"""The one YAML reader: plain values only, and limits on what a file may make of itself.

A few lines of anchors can stand for billions of values, or for themselves; deep brackets exhaust the stack. All of it
raises :class:`yaml.YAMLError`, so that a reader has one error to turn into a sentence.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from msal_lightning.io.regular_file import TooLargeError, read_regular

_LARGEST = 2**20
"""Bytes of a file; a resolved configuration has about 3,000."""
_MOST_NODES = 100_000  # with aliases written out; 10,000 class names are far below
_DEEPEST = 60  # levels; a configuration has about eight


class LimitError(yaml.YAMLError):
    """The file is larger, deeper or more than its text shows, or says something twice.

    Attributes:
        problem: what it is.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


def read_yaml(file: Path) -> Any:
    """The plain values of a file.

    Args:
        file: its path; UTF-8.

    Raises:
        OSError: it cannot be read, or is no regular file.
        UnicodeDecodeError: it is no UTF-8.
        yaml.YAMLError: it is no YAML, holds other than plain values, or exceeds a limit.
    """
    return load_yaml(read_bytes(file).decode("utf-8"))


def read_bytes(file: Path) -> bytes:
    """Read the bytes of a YAML file.

    Raises:
        OSError: it cannot be read, or is no regular file.
        LimitError: it is larger than any configuration.
    """
    try:
        return read_regular(file, _LARGEST)
    except TooLargeError as error:
        raise LimitError(str(error)) from None


def load_yaml(text: str) -> Any:
    """The plain values of a text.

    Raises:
        yaml.YAMLError: as :func:`read_yaml`.
    """
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _check_size(node)
        _check_keys(node)
        return loader.construct_document(node)
    except RecursionError:
        raise LimitError(f"more than {_DEEPEST} levels") from None
    except (ValueError, OverflowError, TypeError, AttributeError) as error:  # a date of month 13, an endless number
        raise LimitError(f"a value that is none: {' '.join(str(error).split()):.80}") from None
    finally:
        loader.dispose()


def _check_keys(node: yaml.Node) -> None:
    """Refuse a key that stands twice: YAML forbids it, and the last one would win without a word."""
    if isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            line = key.start_mark.line + 1
            if key.value in lines:
                twice = f"in lines {lines[key.value]} and {line}" if line > lines[key.value] else f"in line {line}"
                raise LimitError(f"the key '{key.value}' stands twice, {twice}")
            lines[key.value] = line
    for child in _children(node):
        _check_keys(child)


def _check_size(root: yaml.Node) -> None:
    """Count what the aliases stand for without writing them out."""
    sizes: dict[int, int] = {}
    within: set[int] = set()

    def size(node: yaml.Node, depth: int) -> int:
        if id(node) in within:
            raise LimitError("an anchor that holds itself")
        if depth > _DEEPEST:
            raise LimitError(f"more than {_DEEPEST} levels")
        if id(node) not in sizes:
            within.add(id(node))
            sizes[id(node)] = 1 + sum(size(child, depth + 1) for child in _children(node))
            within.remove(id(node))
        if sizes[id(node)] > _MOST_NODES:
            raise LimitError(f"anchors and aliases that stand for more than {_MOST_NODES:,} values")
        return sizes[id(node)]

    size(root, 0)


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key
            yield value
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value
