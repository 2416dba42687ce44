"""The only YAML reader: it reads plain values, with limits on their size.

A few lines of anchors can stand for billions of values or for themselves, and deep brackets exhaust the stack. All such
files raise :class:`yaml.YAMLError`, so callers handle only one error.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from msal_lightning.io.regular_file import TooLargeError, read_regular

_LARGEST = 2**20
"""Bytes of a file; a resolved configuration has about 3,000."""
_MOST_NODES = 100_000  # with expanded aliases; 10,000 class names are far below
_DEEPEST = 60  # levels; a configuration has about eight


class LimitError(yaml.YAMLError):
    """The file is too large or too deep, stands for too many values, or has a key twice.

    Attributes:
        problem: description of the problem.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


def read_yaml(file: Path) -> Any:
    """Read the plain values of a file.

    Args:
        file: path of a file in UTF-8.

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
    """Read the plain values of a text.

    Raises:
        yaml.YAMLError: see :func:`read_yaml`.
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
    except (ValueError, OverflowError, TypeError, AttributeError) as error:  # for example a date with month 13
        raise LimitError(f"a value that is none: {' '.join(str(error).split()):.80}") from None
    finally:
        loader.dispose()


def _check_keys(node: yaml.Node) -> None:
    """Reject duplicate keys: YAML forbids them, and the last one would win silently."""
    if isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            line = key.start_mark.line + 1
            if key.value in lines:
                twice = f"in lines {lines[key.value]} and {line}" if line > lines[key.value] else f"in line {line}"
                raise LimitError(f"the key '{key.value}' occurs twice, {twice}")
            lines[key.value] = line
    for child in _children(node):
        _check_keys(child)


def _check_size(root: yaml.Node) -> None:
    """Count the values behind aliases without expanding them."""
    sizes: dict[int, int] = {}
    within: set[int] = set()

    def size(node: yaml.Node, depth: int) -> int:
        if id(node) in within:
            raise LimitError("an anchor that contains itself")
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
