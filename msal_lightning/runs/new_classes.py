"""From the words of a person to changed classes: renamed and merged ones."""

from collections.abc import Mapping, Sequence

from msal_lightning.data.places import REASONS
from msal_lightning.errors import ConfigError
from msal_lightning.io.names import name_some
from msal_lightning.runs.amendments import Reclass


def rename(names: Sequence[str], new: Mapping[str, str]) -> Reclass:
    """Return the change that renames classes.

    Args:
        names: class names of the run.
        new: new name by former name.

    Raises:
        ConfigError: a former name is no class, or a new name is taken.
    """
    for name in new:
        _number(name, names)
    after = [new.get(name, name) for name in names]
    for name in new.values():
        check_name(name)
        if after.count(name) > 1:
            raise ConfigError(f"expected a name that no class has, got '{name}': `classes RUN merge` joins two classes")
    return Reclass([*names], after, [*range(len(names))])


def merge(names: Sequence[str], parts: Sequence[str], into: str) -> Reclass:
    """Return the change that merges classes; the merged class gets the lowest of their numbers.

    Args:
        names: class names of the run.
        parts: the classes to merge.
        into: name of the merged class, a new one or one of theirs.

    Raises:
        ConfigError: fewer than two different classes are named, one is unknown, or fewer than two are left.
    """
    gone = sorted({_number(name, names) for name in parts})
    if len(gone) < 2:
        raise ConfigError(f"expected two classes or more to merge, got {name_some(parts)}: separate them with a comma")
    check_name(into)
    if into in names and into not in parts:
        raise ConfigError(f"expected a name that no other class has for --into, got '{into}': merge this class too")
    if len(names) - len(gone) < 1:
        raise ConfigError(f"expected two classes to be left, got '{into}' alone: a classifier needs two")
    after = [into if c == gone[0] else name for c, name in enumerate(names) if c not in gone[1:]]
    numbers = [after.index(into if c in gone else name) for c, name in enumerate(names)]
    return Reclass([*names], after, numbers)


def check_name(name: str) -> None:
    """Refuse a name that no class may have.

    Raises:
        ConfigError: it is blank, or stands for an image without a usable label.
    """
    if not name.strip() or name != name.strip() or "\0" in name:
        raise ConfigError(f"expected the name of a class, got '{name}': write it without spaces around it")
    if name in REASONS:
        raise ConfigError(f"expected the name of a class, got '{name}', which marks images without a usable label")


def _number(name: str, names: Sequence[str]) -> int:
    if name not in names:
        raise ConfigError(f"expected a class of the run, {name_some(names)}, got '{name}': correct the name")
    return names.index(name)
