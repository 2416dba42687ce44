"""Projects vectors onto a plane, in a process of its own: ``python -m msal_lightning.serve.project FROM TO``."""

import os
import sys

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

_DIMENSIONS = 50  # as usual before t-SNE


def project(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Project vectors by PCA, then t-SNE.

    Args:
        vectors: (n, D).

    Returns:
        (n, 2), each coordinate between 0 and 1, in the same scale.
    """
    count, width = vectors.shape
    place = np.zeros((count, 2), np.float32)
    most = min(_DIMENSIONS, width, count)
    reduced = PCA(most, random_state=0).fit_transform(vectors) if count > 1 else vectors
    if count >= 5:
        place = TSNE(perplexity=min(30, (count - 1) / 3), init="pca", random_state=0).fit_transform(reduced)
    elif count > 1:
        place[:, : min(2, most)] = reduced[:, :2]
    low, high = place.min(0), place.max(0)
    spread = float((high - low).max()) or 1.0
    scaled: NDArray[np.float32] = ((place - (low + high) / 2) / spread + 0.5).astype(np.float32)
    return scaled


if __name__ == "__main__":
    if hasattr(os, "nice"):
        os.nice(15)  # a person labels on the same machine
    np.save(sys.argv[2], project(np.load(sys.argv[1], allow_pickle=False)))
