"""How fast each phase is, as ratios measured side by side: ``python -m benchmarks [NAME ...]``."""
