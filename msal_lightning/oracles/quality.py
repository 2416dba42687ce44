"""How often annotators are right, and the labels that follow: Dawid and Skene's model with one accuracy each.

[0] Dawid and Skene, 1979, Maximum Likelihood Estimation of Observer Error-Rates Using the EM Algorithm, JRSS C 28(1)
[1] Zhang, Chen, Zhou and Jordan, 2014, Spectral Methods Meet EM, arXiv 1406.3824: one coin for each annotator
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_ROUNDS = 200
_CLOSE = 1e-9  # change of all accuracies that ends the iterations
_HIGHEST = 1 - 1e-3  # nobody is surely right, so that no vote is ignored

Votes = Sequence[tuple[str, str]]
"""What annotators said about one image: pairs of name and word."""


@dataclass(frozen=True)
class Quality:
    """The result of the EM algorithm.

    Attributes:
        accuracy: probability of each annotator to be right, by name.
        words: the K words that occur, sorted.
        posterior: (N, K), probability of each word for each image.
    """

    accuracy: dict[str, float]
    words: list[str]
    posterior: NDArray[np.float64]

    def best(self, image: int, margin: float = 1e-6) -> str | None:
        """Return the most probable word of an image; None if two are equally probable."""
        order = np.argsort(self.posterior[image])
        first = self.posterior[image, order[-1]]
        if len(order) > 1 and first - self.posterior[image, order[-2]] < margin:
            return None
        return self.words[int(order[-1])]


def estimate_quality(votes: Sequence[Votes]) -> Quality:
    """Estimate accuracies and labels together, starting from the shares of the votes.

    An annotator who is wrong says each of the other words with the same probability; all words are equally probable
    beforehand.

    Args:
        votes: votes of each of the N images, at least one each.
    """
    names = sorted({name for given in votes for name, _ in given})
    words = sorted({word for given in votes for _, word in given})
    flat = [(i, names.index(name), words.index(word)) for i, given in enumerate(votes) for name, word in given]
    image, who, said = np.array(flat, dtype=np.int64).reshape(-1, 3).T
    posterior = np.zeros((len(votes), len(words)))
    np.add.at(posterior, (image, said), 1.0)
    posterior /= posterior.sum(axis=1, keepdims=True)
    count, others = np.bincount(who, minlength=len(names)), max(1, len(words) - 1)
    accuracy = np.zeros(len(names))
    for _ in range(_ROUNDS):
        before = accuracy
        right = np.bincount(who, weights=posterior[image, said], minlength=len(names))
        accuracy = np.clip(right / count, 1 / (others + 1), _HIGHEST)  # nobody is worse than guessing
        gain = np.log(accuracy) - np.log((1 - accuracy) / others)
        logs = np.zeros_like(posterior)
        np.add.at(logs, (image, said), gain[who])
        posterior = np.exp(logs - logs.max(axis=1, keepdims=True))
        posterior /= posterior.sum(axis=1, keepdims=True)
        if np.abs(accuracy - before).max(initial=0.0) < _CLOSE:
            break
    return Quality(dict(zip(names, accuracy.tolist(), strict=True)), words, posterior)
