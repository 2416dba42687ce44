"""The fidelity page and the script that measures it go together."""

import importlib
import re
from pathlib import Path

import pytest
import torch
import yaml

from msal_lightning.config.parser import build_parser, parse
from msal_lightning.runs.config import flatten
from msal_lightning.strategies.outputs import PoolOutputs

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "fidelity.md").read_text()


@pytest.fixture
def fidelity(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("benchmarks.fidelity")


def test_every_comparison_has_an_entry(fidelity):
    for comparison in fidelity.COMPARISONS:
        assert f'<a id="s{comparison.section.replace(".", "")}"></a>{comparison.section} ' in PAGE


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)]+)\)", PAGE):
        if target.startswith("#"):
            assert f'id="{target[1:]}"' in PAGE
        else:
            assert target.startswith("http") or (ROOT / "docs" / target).exists(), target


def test_two_variants_differ_in_one_thing_only(fidelity):
    parser, configs = build_parser(), {}
    for variant, arguments in fidelity.VARIANTS.items():
        config = parse(parser, [*fidelity.PROTOCOL, *arguments])
        configs[variant] = flatten(yaml.safe_load(parser.dump(config)))
    for comparison in fidelity.COMPARISONS:
        ours, other = configs[comparison.ours], configs[comparison.other]
        differing = {key for key in {*ours, *other} if ours.get(key) != other.get(key)}
        assert len({key.partition(".")[0] for key in differing}) == 1, differing
        assert differing


def test_the_wrong_variants_are_wrong_as_they_say(fidelity):
    logits = torch.randn(50, 10, generator=torch.Generator().manual_seed(0))
    passes = logits + torch.randn(4, 50, 10, generator=torch.Generator().manual_seed(1))
    pool = PoolOutputs(torch.arange(50), logits=logits, mc_logits=passes)
    assert fidelity.WithoutDropout().score(pool, 0).max() < 1e-6
    torch.testing.assert_close(fidelity.Reversed().score(pool, 0), -fidelity.MSAL().score(pool, 0))
    assert fidelity.LargestLogit().score(pool, 0).argmax() == logits.max(dim=1).values.argmin()
    expected = torch.distributions.Categorical(logits=passes.mean(0)).entropy()
    torch.testing.assert_close(fidelity.MeanLogits(4).score(pool, 0), expected)
