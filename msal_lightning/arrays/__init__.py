"""Selection from arrays, and a scikit-learn classifier: no configuration, no data module, no Trainer."""
