"""Find a configuration by its bare name."""

from pathlib import Path

import yaml

from msal_lightning.config.paths import expand
from msal_lightning.config.shape import check_shape
from msal_lightning.errors import ConfigError
from msal_lightning.io.suggestions import did_you_mean
from msal_lightning.io.yaml_files import read_yaml


def shipped_folder() -> Path:
    """Return the folder of the shipped configurations: in the wheel, or in the checkout of an editable install."""
    package = Path(__file__).parent.parent
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


def shipped_names() -> list[str]:
    """Return the names of the configurations that come with the package."""
    return sorted(file.stem for file in shipped_folder().glob("*.yaml"))


def find_config(name: str) -> Path:
    """Find the file of ``--config NAME`` in the current folder, in ``configs/``, or among the shipped ones.

    Args:
        name: a path or bare name, with or without ``.yaml``.

    Raises:
        ConfigError: there is no such file (the message suggests similar names), or it is no readable YAML.
    """
    name = expand(name)
    folders = (Path(), Path("configs"), shipped_folder())
    candidates = [folder / file for folder in folders for file in (name, f"{name}.yaml", f"{name}.yml")]
    path = next((candidate for candidate in candidates if candidate.is_file()), None)
    if path is None:
        found = did_you_mean(Path(name).stem, shipped_names()) or ": `python -m msal_lightning fit --help` lists these"
        raise ConfigError(
            f"expected --config to name a YAML file, found no '{name}' in the current folder, in configs/ or among the "
            f"shipped ones{found}"
        )
    _check(path)
    return path


def resolve_configs(argv: list[str]) -> list[str]:
    """Replace the names after ``--config`` and ``-c`` by paths."""
    resolved: list[str] = []
    for argument in argv:
        if resolved and resolved[-1] in ("--config", "-c"):
            resolved[-1:] = ["--config", str(find_config(argument))]
        elif argument.startswith("--config="):
            resolved += ["--config", str(find_config(argument.removeprefix("--config=")))]
        else:
            resolved.append(argument)
    return resolved


def _check(path: Path) -> None:
    try:
        content = read_yaml(path)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"cannot read the configuration '{path}' ({error}): it has to be a text file in UTF-8 that you may read"
        ) from None
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" at line {where.line + 1}" if where else ""
        problem = getattr(error, "problem", None) or "not YAML"
        raise ConfigError(
            f"cannot read the configuration '{path}' as YAML{line} ({problem}): correct that line"
        ) from None
    if not isinstance(content, dict):
        raise ConfigError(
            f"expected the configuration '{path}' to hold keys like seed, data and query, got {content!r:.40}"
        )
    check_shape(content, str(path))
