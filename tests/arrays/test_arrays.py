"""The page about arrays."""

import re
from pathlib import Path

from msal_lightning.arrays.named_strategy import as_strategy, strategy_names

PAGE = (Path(__file__).parents[2] / "docs" / "arrays.md").read_text(encoding="utf-8")


def test_its_loop_runs(capsys):
    (loop,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    exec(loop, {})
    lines = [re.fullmatch(r"(\d+) labels: accuracy (\S+)", line) for line in capsys.readouterr().out.splitlines()]
    assert [int(line[1]) for line in lines] == list(range(40, 401, 40))
    assert float(lines[-1][2]) > 0.93


def test_its_table_says_what_strategies_need():
    rows = {}
    for argument, array, names in re.findall(r"^\| (`.*) \| (.*) \| (.*) \|$", PAGE, flags=re.MULTILINE):
        rows[argument, array[:7]] = {*re.findall(r"[A-Z]\w+", names)}
    all_strategies = {name: as_strategy(name) for name in strategy_names()}

    def names(output, prototypes=False):
        return {
            name
            for name, strategy in all_strategies.items()
            if output in strategy.needs and strategy.needs_prototypes == prototypes
        }

    assert rows == {
        ("`features`", "(N, D),"): names("embeddings"),
        ("`logits`, or `probabilities`", "(N, C)"): names("logits"),
        ("`logits` of a prototype head", "(N, C),"): names("logits", prototypes=True),
        ("`mc_logits`, or `probabilities`", "(T, N, "): names("mc_logits"),
        ("`labeled`", "(N,) of"): {name for name, strategy in all_strategies.items() if strategy.needs_labeled},
        ("`labels`", "(M,) cl"): {name for name, strategy in all_strategies.items() if strategy.needs_labels},
        ("`groups`", "(N,) wh"): {name for name, strategy in all_strategies.items() if strategy.needs_groups},
        ("`head`", "a funct"): {name for name, strategy in all_strategies.items() if strategy.needs_head},
    }
