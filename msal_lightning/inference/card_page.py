"""A card as a page in Markdown."""

from collections.abc import Mapping
from typing import Any

_MOST_ROWS = 1000

_USE = {
    "torch-export": """\
import torch

network = torch.export.load("{file}").module()
probabilities, embeddings = network(images)  # images: {shape} {dtype}
""",
    "onnx": """\
import onnxruntime

session = onnxruntime.InferenceSession("{file}")
probabilities, embeddings = session.run(None, {{"images": images}})  # images: {shape} {dtype}
""",
    "state-dict": """\
{imports}from msal_lightning import MSALClassifier

model = MSALClassifier.load_from_checkpoint("{file}").eval()
probabilities = model(images).softmax(dim=1)  # images: {shape} {dtype}, scaled by mean and std
""",
}


def write_page(card: Mapping[str, Any]) -> str:
    """Return a card as Markdown."""
    parts = [
        f"# {_text(card['run']['name'])}: a classifier of {len(card['classes']):,} classes",
        _origin(card["run"]),
        "## Use",
        _use(card),
        "## Input",
        _input(card),
        "## Output",
        _output(card),
        "## Accuracy",
        _accuracy(card["test"], card["run"]),
        _threshold(card.get("threshold")),
        "## Versions",
        _versions(card),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _origin(run: Mapping[str, Any]) -> str:
    return (
        f"{run['backbone']} with a {run['head']} head, trained on {run['labels']:,} labels of {run['data']} that "
        f"active learning with {run['query']} chose (round {run['round']}, seed {run['seed']})."
    )


def _use(card: Mapping[str, Any]) -> str:
    shape = f"({', '.join(map(str, card['input']['shape']))})"
    module, backbone = card["run"]["backbone_module"], card["run"]["backbone"]
    imports = "" if module.split(".")[0] == "msal_lightning" else f"import {module}  # has the backbone {backbone}\n\n"
    code = _USE[card["kind"]].format(file=card["file"], shape=shape, dtype=card["input"]["dtype"], imports=imports)
    return f"```python\n{code}```\n\nThe batch may have any size. The network computes in float32."


def _input(card: Mapping[str, Any]) -> str:
    given, how = card["input"], card["preprocessing"]
    scale = f"(x − mean) / std with mean {_numbers(given['mean'])} and std {_numbers(given['std'])}"
    if how is None:
        where = "The file computes" if given["scaled_inside"] else "Compute first"
        return f"Features, one row for each image, from the network that the run was trained on. {where} {scale}."
    colours = {1: "grey", 3: "RGB"}.get(how["channels"], f"{how['channels']} bands")
    if how["bands"]:
        colours = f"the bands {', '.join(map(str, how['bands']))}, counted from 1"
    lines = [
        "1. Turn the image upright (EXIF).",
        f"2. Convert it to {colours}, 8 bits each.{_depth(how)}{_behind(how)}",
        f"3. Make it {how['size']}×{how['size']} pixels: {how['fit_means']}{_padding(how)}; {how['interpolation']} "
        "interpolation without aliasing, as Pillow does it.",
        "4. The file scales the values from 0 to 255 itself."
        if given["scaled_inside"]
        else f"4. Divide by 255, then compute {scale}.",
    ]
    return "\n".join(lines)


def _depth(how: Mapping[str, Any]) -> str:
    ranges = how["value_range"]
    if not ranges:
        return ""
    shown = "; ".join(f"{name} from {low:g} to {high:g}" for name, (low, high) in ranges.items())
    return f" More bits become 256 equal parts of a range: {shown}."


def _behind(how: Mapping[str, Any]) -> str:
    if how["background"] is None or how["bands"]:
        return " Transparency is ignored."
    color = "white" if {*how["background"]} == {255} else f"the color {_numbers(how['background'])}"
    return f" Blend transparent pixels with {color}."


def _padding(how: Mapping[str, Any]) -> str:
    return f" {_numbers(how['padding'])}" if how["fit"] == "letterbox" and how["padding"] else ""


def _output(card: Mapping[str, Any]) -> str:
    lines = [
        f"- `{one['name']}` {one['dtype']} ({', '.join(map(str, one['shape']))})"
        + (
            ", in the order of the classes below"
            if one["name"] in ("probabilities", "logits")
            else ", input of the head"
        )
        for one in card["outputs"]
    ]
    difference = f", up to {card['largest_difference']:.0e}" if card["largest_difference"] else ""
    note = f"File and run gave the same outputs on random input{difference}."
    return "\n".join(lines) + f"\n\n{note}"


def _accuracy(test: Mapping[str, Any], run: Mapping[str, Any]) -> str:
    images = "" if test["images"] is None else f" of {test['images']:,} test images"
    first = (
        f"Test accuracy {test['metrics']['accuracy']:.4f}{images}, measured in the run (precision {test['precision']})."
    )
    rows = test["classes"]
    if not rows:
        return first
    table = ["| number | class | labels | test images | precision | recall | F1 |", "|---|---|---|---|---|---|---|"]
    for row in rows[:_MOST_ROWS]:
        values = " | ".join("–" if row[key] is None else f"{row[key]:.3f}" for key in ("precision", "recall", "f1"))
        table.append(f"| {row['number']} | {_text(row['name'])} | {row['labeled']:,} | {row['test']:,} | {values} |")
    more = [f"{len(rows) - _MOST_ROWS:,} more classes are in the JSON file."] if len(rows) > _MOST_ROWS else []
    limits = [f"**{warning[0].upper()}{warning[1:]}.**" for warning in test["warnings"]]
    return "\n\n".join([first, "\n".join(table), *more, *limits])


def _threshold(found: Mapping[str, Any] | None) -> str:
    if not found:
        return ""
    rows = ["| images | rule | precision | recall | F1 | balanced accuracy |", "|---|---|---|---|---|---|"]
    for part, what in (("held_out", "held-out labels"), ("test", "test images")):
        count = f"{found[part]['images']:,} {what}, {found[part]['of_class']:,} of the class"
        for key, how in (("most_probable", "most probable class"), ("threshold", "with the threshold")):
            values = [f"{found[part][key][name]:.3f}" for name in ("precision", "recall", "f1", "balanced_accuracy")]
            rows.append(f"| {count} | {how} | {' | '.join(values)} |")
    text = (
        f"An image is of the class {_text(found['class'])} if its probability is at least {found['threshold']:.6g}, "
        f"otherwise of the most probable other class (chosen by {_text(found['chosen_by'])} on held-out labels, not "
        "on the test images). The file gives probabilities; apply the threshold to them."
    )
    return f"## Threshold\n\n{text}\n\n" + "\n".join(rows)


def _versions(card: Mapping[str, Any]) -> str:
    trained, exported = card["versions"]["training"], card["versions"]["export"]
    lines = [
        "Training: " + ", ".join(f"{name} {value}" for name, value in trained.items()),
        "Export: " + ", ".join(f"{name} {value}" for name, value in exported.items()),
    ]
    return "\n\n".join(lines)


def _numbers(values: Any) -> str:
    shown = [f"{value:.6g}" for value in values]
    return (
        shown[0]
        if len({*shown}) == 1
        else f"[{', '.join(shown[:8])}{', ... (all in the JSON file)' if len(shown) > 8 else ''}]"
    )


def _text(name: str) -> str:
    """A name in Markdown, where it formats nothing."""
    name = " ".join(name.split())
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>()#+-.!|~" and c not in ".-" else c for c in name)
