"""The model: backbone, prototypes and heads, its metrics, and its forward pass over the pool."""
