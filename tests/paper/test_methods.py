"""Names of the paper's rows."""

import pytest

from msal_lightning.config.parser import build_parser, parse
from msal_lightning.paper.methods import method_name
from msal_lightning.runs.config import flatten


def named(*arguments):
    parser = build_parser()
    config = parse(parser, ["--config", "digits", *arguments])
    return method_name(flatten(config.as_dict()))


LINEAR = {
    "Random": ["Random"],
    "LeastConf": ["LeastConfidence"],
    "LeastConfD": ["LeastConfidence", "--query.mc_samples", "10"],
    "Margin": ["Margin"],
    "MarginD": ["Margin", "--query.mc_samples", "10"],
    "Entropy": ["Entropy"],
    "EntropyD": ["Entropy", "--query.mc_samples", "5"],
    "BALD": ["BALD"],
    "MeanSTD": ["MeanSTD"],
    "VarRatio": ["VariationRatio"],
    "CEAL(Entropy)": ["CEAL"],
    "KMeans": ["KMeans"],
    "KMeans (GPU)": ["KMeansFaiss"],
    "KCenter": ["KCenter"],
    "BADGE": ["BADGE"],
    "DBAL": ["DBAL"],
    "DBAL(Entropy)": ["DBAL", "--query.uncertainty", "Entropy"],
    "PowerBALD": ["PowerAcquisition"],
    "SoftmaxMargin": ["SoftmaxAcquisition", "--query.uncertainty", "Margin"],
    "TypiClust": ["TypiClust"],
    "Margin(MSAL-D, coverage)": ["MSALD", "--query.uncertainty", "Margin", "--query.diversity", "coverage"],
    "MaxHerding": ["MaxHerding"],
    "TCM": ["TCM"],
    "SEALS(Entropy)": ["SEALS"],
    "SEALS(KCenter)": ["SEALS", "--query.strategy", "KCenter"],
    "UHerding": ["UHerding"],
    "UHerding(Entropy)": ["UHerding", "--query.uncertainty", "Entropy"],
}
PROTOTYPE = {
    "MSAL": ["MSAL"],
    "MSAL-D": ["MSALD"],
    "CEAL(MSAL)": ["CEAL", "--query.uncertainty", "MSAL"],
    "LeastConf(MSAL)": ["LeastConfidence"],
    "Margin(MSAL)": ["Margin"],
    "Entropy(MSAL)": ["Entropy"],
    "EntropyD(MSAL)": ["Entropy", "--query.mc_samples", "10"],
    "LeastConf(MSAL-D)": ["MSALD", "--query.uncertainty", "LeastConfidence"],
    "Margin(MSAL-D)": ["MSALD", "--query.uncertainty", "Margin"],
    "MarginD(MSAL-D)": ["MSALD", "--query.uncertainty", "Margin", "--query.uncertainty.mc_samples", "3"],
    "Random, prototype head": ["Random"],
    "KMeans, prototype head": ["KMeans"],
    "DBAL, prototype head": ["DBAL"],
    "SEALS(MSAL-D)": ["SEALS", "--query.strategy", "MSALD"],
    "MSAL-D, coverage": ["MSALD", "--query.diversity", "coverage"],
    "Margin(MSAL-D, coverage), prototype head": [
        *("MSALD", "--query.uncertainty", "Margin"),
        *("--query.diversity", "coverage"),
    ],
    "UHerding(MSAL)": ["UHerding", "--query.uncertainty", "MSAL"],
    "DBAL(MSAL)": ["DBAL", "--query.uncertainty", "MSAL"],
    "CEAL(Entropy), prototype head": ["CEAL"],
}


@pytest.mark.parametrize(("name", "arguments"), LINEAR.items())
def test_rows_on_the_linear_head(name, arguments):
    assert named("--query", *arguments, "--model.head", "linear") == name


@pytest.mark.parametrize(("name", "arguments"), PROTOTYPE.items())
def test_rows_on_the_prototype_head(name, arguments):
    assert named("--query", *arguments, "--model.head", "prototype") == name


def test_full_learns_from_everything():
    full = {"loop.initial_size": "all", "query.class_path": "msal_lightning.strategies.Random"}
    assert method_name({**full, "model.head": "linear"}) == "Full"
    assert method_name({**full, "model.head": "prototype"}) == "Full, prototype head"


def test_a_class_of_your_own_goes_by_its_name():
    assert method_name({"query.class_path": "mine.Oldest", "model.head": "linear"}) == "Oldest"
    inside = {"query.class_path": "mine.Mixed", "query.init_args.uncertainty.class_path": "mine.Oldest"}
    assert method_name({**inside, "model.head": "linear"}) == "Mixed(Oldest)"
