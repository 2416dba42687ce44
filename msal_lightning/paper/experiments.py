"""The paper's tables and ablations as plain data: the options of ``fit`` for each cell.

A row belongs to its proper head: linear for the classical strategies, prototype for those of the paper. Names are the
paper's, without markup and without the group (Unc, Div, Cmb, Ours) that stands before some of them in Table 2.
"""

Rows = dict[str, tuple[str, ...]]
"""Name of a row to options of ``fit``."""

LINEAR = ("--model.head", "linear")
PROTOTYPE = ("--model.head", "prototype")
DROPOUT = ("--query.mc_samples", "10")  # passes; ours, as the other dropout strategies have by default

# all labels, one fit, no query; the paper does not name the head: we take that of the baselines
FULL: Rows = {"Full": ("--query", "Random", *LINEAR, "--loop.initial_size", "all")}
RANDOM: Rows = {"Random": ("--query", "Random", *LINEAR)}
LEAST_CONF: Rows = {"LeastConf": ("--query", "LeastConfidence", *LINEAR)}
MARGIN: Rows = {"Margin": ("--query", "Margin", *LINEAR)}
ENTROPY: Rows = {"Entropy": ("--query", "Entropy", *LINEAR)}
CEAL_ENTROPY: Rows = {"CEAL(Entropy)": ("--query", "CEAL", "--query.uncertainty", "Entropy", *LINEAR)}

TABLE2: Rows = {
    **FULL,
    **RANDOM,
    **LEAST_CONF,
    "LeastConfD": ("--query", "LeastConfidence", *DROPOUT, *LINEAR),
    **MARGIN,
    "MarginD": ("--query", "Margin", *DROPOUT, *LINEAR),
    **ENTROPY,
    "EntropyD": ("--query", "Entropy", *DROPOUT, *LINEAR),
    "BALD": ("--query", "BALD", *LINEAR),
    "MeanSTD": ("--query", "MeanSTD", *LINEAR),
    "VarRatio": ("--query", "VariationRatio", *LINEAR),
    **CEAL_ENTROPY,
    "KMeans": ("--query", "KMeans", *LINEAR),
    "KMeans (GPU)": ("--query", "KMeansFaiss", *LINEAR),
    "KCenter": ("--query", "KCenter", *LINEAR),
    "BADGE(KMeans++)": ("--query", "BADGE", *LINEAR),
    "DBAL(KMeans)": ("--query", "DBAL", *LINEAR),
    "MSAL": ("--query", "MSAL", *PROTOTYPE),
    "MSAL-D": ("--query", "MSALD", *PROTOTYPE),
}
# training (the head) and querying apart: X, X on prototypes, X inside of Algorithm 1
TABLE3: Rows = {
    **FULL,
    **RANDOM,
    **LEAST_CONF,
    "LeastConf(MSAL)": ("--query", "LeastConfidence", *PROTOTYPE),
    "LeastConf(MSAL-D)": ("--query", "MSALD", "--query.uncertainty", "LeastConfidence", *PROTOTYPE),
    **MARGIN,
    "Margin(MSAL)": ("--query", "Margin", *PROTOTYPE),
    "Margin(MSAL-D)": ("--query", "MSALD", "--query.uncertainty", "Margin", *PROTOTYPE),
    **ENTROPY,
    "Entropy(MSAL)": ("--query", "Entropy", *PROTOTYPE),
    "Entropy(MSAL-D)": ("--query", "MSALD", "--query.uncertainty", "Entropy", *PROTOTYPE),
}
TABLE4: Rows = {
    **CEAL_ENTROPY,
    "CEAL(MSAL)": ("--query", "CEAL", "--query.uncertainty", "MSAL", *PROTOTYPE),
}
TABLE5: Rows = {
    **FULL,
    **RANDOM,
    **LEAST_CONF,
    **MARGIN,
    **ENTROPY,
    "Ours(MSAL)": ("--query", "MSAL", *PROTOTYPE),
}


def _msald(option: str, values: tuple[int, ...]) -> Rows:
    """Return one row of MSAL-D for each value of an option."""
    name = option.rpartition(".")[2]
    return {f"{name}={value}": ("--query", "MSALD", *PROTOTYPE, f"--{option}", str(value)) for value in values}


_BETA_SMALL = _msald("query.beta", (5, 10, 20, 25, 30))
_DATASETS = ("mnist", "svhn", "cifar10", "cifar100", "tiny_imagenet")

Column = tuple[str, ...]
"""A column of a table: a configuration and its further options."""

EXPERIMENTS: dict[str, dict[Column, Rows]] = {
    "table2": {(config,): TABLE2 for config in _DATASETS},  # ours: BADGE on TinyImageNet, which the paper leaves empty
    "table3": {(config,): TABLE3 for config in _DATASETS},
    "table4": {(config,): TABLE4 for config in _DATASETS},
    "table5": {
        # 10,000 labels at 0.1 and the configurations' 8,000 at 0.01: ours, the paper gives no budget
        (config, "--data.imbalance", imbalance, "--loop.query_budget", budget): TABLE5
        for config in ("cifar10_lt", "cifar100_lt")
        for imbalance, budget in (("0.1", "10000"), ("0.01", "8000"))
    },
    "beta": {
        ("mnist",): _BETA_SMALL,  # section 4.4
        ("svhn",): _BETA_SMALL,  # Fig. 4 draws it without naming the values; ours: MNIST's
        ("cifar10",): _msald("query.beta", (5, 10, 15)),  # section 4.4
    },
    # Fig. 5; the text gives only the chosen 500, the others are ours
    "query_size": {("cifar10",): _msald("loop.query_size", (250, 500, 1000, 2000))},
}
SEEDS = ("0", "1", "2")
"""Section 4.1: three runs."""


def experiment(name: str, configs: tuple[str, ...]) -> dict[Column, Rows]:
    """Return the columns of an experiment, on the given configurations or on the paper's.

    Args:
        name: name of the experiment.
        configs: each gets the rows and the further options of the columns (the imbalance of Table 5); empty for the
            paper's own.
    """
    columns = EXPERIMENTS[name]
    if not configs:
        return columns
    settings: dict[Column, Rows] = {}
    for (_, *options), rows in columns.items():
        settings.setdefault(tuple(options), rows)
    return {(config, *options): rows for config in configs for options, rows in settings.items()}
