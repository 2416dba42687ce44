"""The map of the embeddings: a sample of the pool, the labeled and the open images in two dimensions."""

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.datasets.embeddings import Embeddings
from msal_lightning.errors import RunError
from msal_lightning.runs.embeddings import read_embeddings

POINTS = 2_000
"""Images in the sample; t-SNE of more takes long."""
_NEIGHBOURS = 5  # that place an image which is not in the sample
_LATER = 1_000  # such images: the latest
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class _Sample:
    """Images with vectors: those of the map, and the map itself once it is there."""

    index: NDArray[np.int64]
    vectors: Floats
    place: Floats | None


class EmbeddingMap:
    """Computes the map on demand, in a process of low priority, and keeps it.

    The sample is projected once, so that the map stays as it is while a person works. Images that come later are placed
    between their nearest neighbours in the sample.

    Args:
        data: owns the images.
        run: the run directory, which may keep embeddings.
    """

    def __init__(self, data: ActiveDataModule, run: Path) -> None:
        self._data, self._run = data, run
        self._lock = threading.Lock()
        self._labeled: dict[int, str] = {}
        self._rounds = 0
        self._sample: _Sample | None = None
        self._why = ""
        self._later: dict[int, tuple[float, float]] = {}
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def learn(self, rounds: int) -> None:
        """Take over which images are labeled; called while the loop stands still.

        Args:
            rounds: number of tested rounds.
        """
        data = self._data
        index = torch.cat([data.labeled, data.held_out])
        names = data.class_names
        labeled = {
            i: names[label]
            for i, label in zip(index.tolist(), data.labels[index].tolist(), strict=True)
            if 0 <= label < len(names)
        }
        with self._lock:
            self._labeled, self._rounds = labeled, rounds

    def look(self, open_images: Mapping[int, str]) -> dict[str, Any]:
        """Return the map as plain JSON values.

        Args:
            open_images: the open images, each with its answer; blank where there is none.

        Returns:
            points: index, x, y (0 to 1) and word (blank for the pool) of each image; or waits while it is computed; or
            why there is none.
        """
        with self._lock:
            labeled = {**self._labeled, **{i: word for i, word in open_images.items() if word}}
            if self._thread is None:
                self._thread = threading.Thread(target=self._compute, daemon=True, name="map")
                self._thread.start()
            sample, why = self._sample, self._why
        if why:
            return {"why": why}
        if sample is None or sample.place is None:
            return {"waits": True}
        index = [*sample.index.tolist(), *self._place_later(sample, [*labeled][-_LATER:], [*open_images])]
        later = np.array([self._later[i] for i in index[len(sample.index) :]], dtype=np.float32).reshape(-1, 2)
        place = np.concatenate([sample.place, later]).round(4)
        return {
            "points": {
                "index": index,
                "x": place[:, 0].tolist(),
                "y": place[:, 1].tolist(),
                "word": [labeled.get(i, "") for i in index],
            }
        }

    def close(self) -> None:
        """End a computation that is in progress."""
        process = self._process
        if process is not None and process.poll() is None:
            process.kill()
            process.wait()

    def _compute(self) -> None:
        try:
            sample = self._draw()
            if sample is None:
                why = (
                    "There is no map: the data are images without features. `embed` makes features, or "
                    "--loop.keep_embeddings 1000 keeps those of each round."
                )
                with self._lock:
                    self._why = why
                    self._thread = None if not self._rounds else self._thread  # the first round may bring some
                return
            place = self._project(sample.vectors)
            with self._lock:
                self._sample = replace(sample, place=place)
        except (OSError, RunError, ValueError) as error:
            with self._lock:
                self._why = f"There is no map: {error}"

    def _draw(self) -> _Sample | None:
        """Draw the sample and read its vectors: features, or the embeddings that the run keeps."""
        if isinstance(self._data, Embeddings):
            index = self._choose(np.arange(len(self._data.labeled_at)))
            return _Sample(index, self._features(index), None)
        for round in range(self._rounds, -1, -1):
            if (kept := read_embeddings(self._run, round)) is not None:
                chosen = np.isin(kept.index, self._choose(kept.index))
                return _Sample(kept.index[chosen], kept.embeddings[chosen].astype(np.float32), None)
        return None

    def _choose(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """Choose the labeled images, up to half of the sample, and a random part of the others."""
        rng = np.random.default_rng(0)
        with self._lock:
            known = np.array([*self._labeled], dtype=np.int64)
        labeled = rng.permutation(np.intersect1d(known, index))[: POINTS // 2]
        if len(index) > 50 * POINTS:  # without a permutation of millions
            drawn = np.unique(rng.choice(index, 2 * POINTS))
            others = rng.permutation(np.setdiff1d(drawn, known))[: POINTS - len(labeled)]
        else:
            others = rng.permutation(np.setdiff1d(index, known))[: POINTS - len(labeled)]
        return np.sort(np.concatenate([labeled, others]))

    def _features(self, index: NDArray[np.int64]) -> Floats:
        rows: Floats = self._data.images[torch.from_numpy(index)].float().flatten(1).numpy()
        mean, std = (np.array(values, dtype=np.float32) for values in (self._data.mean, self._data.std))
        return (rows - mean) / std if len(mean) == rows.shape[1] else rows

    def _project(self, vectors: Floats) -> Floats:
        with tempfile.TemporaryDirectory() as folder:
            given, made = Path(folder) / "vectors.npy", Path(folder) / "places.npy"
            np.save(given, vectors)
            command = [sys.executable, "-m", "msal_lightning.serve.project", str(given), str(made)]
            threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
            self._process = subprocess.Popen(command, env={**os.environ, **threads}, stderr=subprocess.PIPE)
            _, said = self._process.communicate()
            if self._process.returncode:
                lines = said.decode(errors="replace").strip().splitlines()
                raise ValueError(lines[-1] if lines else "the projection has been ended")
            place: Floats = np.load(made, allow_pickle=False)
            return place

    def _place_later(self, sample: _Sample, labeled: Sequence[int], open_images: Sequence[int]) -> list[int]:
        """Place images that are not in the sample; return those that have a place."""
        assert sample.place is not None
        wanted = [i for i in dict.fromkeys([*labeled, *open_images]) if i not in set(sample.index.tolist())]
        missing = [i for i in wanted if i not in self._later]
        if missing and isinstance(self._data, Embeddings):
            for i, vector in zip(missing, self._features(np.array(missing, dtype=np.int64)), strict=True):
                apart = np.square(sample.vectors - vector).sum(1)
                near = np.argpartition(apart, min(_NEIGHBOURS, len(apart) - 1))[:_NEIGHBOURS]
                weight = 1 / (np.sqrt(apart[near]) + 1e-6)
                x, y = (weight[:, None] * sample.place[near]).sum(0) / weight.sum()
                self._later[i] = float(x), float(y)
        return [i for i in wanted if i in self._later]
