"""The YAML reader: what a file may make of itself, against yaml.safe_load on what is within the limits."""

import pytest
import yaml

from msal_lightning.cli.main import main
from msal_lightning.io.yaml_files import load_yaml, read_yaml

BOMB = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "\n".join(
    f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)
)


@pytest.mark.parametrize(
    "text",
    [
        BOMB, "a: &a [*a]", "a: &a {b: *a}", "a: " + "[" * 3000, "a: " + "[" * 100 + "]" * 100,
        "!!python/object/apply:os.system ['true']", "2020-13-45", "a: " + "9" * 5000,
    ],
)  # fmt: skip
def test_what_exceeds_the_limits(text):
    with pytest.raises(yaml.YAMLError):
        load_yaml(text)


@pytest.mark.parametrize("text", ["", "a: 1", "a: &a [1, 2]\nb: *a", "x: {<<: {a: 1}, b: [1, {c: null}]}", "1", "~"])
def test_what_is_within_them_is_what_yaml_says(text):
    assert load_yaml(text) == yaml.safe_load(text)


def test_a_large_file_and_a_folder(tmp_path):
    (tmp_path / "large").write_text("# " + "x" * 2**21)
    with pytest.raises(yaml.YAMLError, match="bytes"):
        read_yaml(tmp_path / "large")
    with pytest.raises(OSError, match="directory"):
        read_yaml(tmp_path)


def test_status_of_a_run_beside_a_bomb(tmp_path, capsys):
    for name, text in (("good", "data: {class_path: a.B}\n"), ("bomb", BOMB)):
        (tmp_path / name / "rounds").mkdir(parents=True)
        (tmp_path / name / "config.yaml").write_text(text)
    assert main(["status", str(tmp_path / "good")]) == 0
    assert main(["status", str(tmp_path / "bomb")]) == 2
    assert "damaged" in capsys.readouterr().err
