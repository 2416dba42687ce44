"""A network in an ONNX file, which is run by ONNX Runtime, an extra."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from msal_lightning.data.images.preprocessing import Preprocessing
from msal_lightning.errors import ConfigError
from msal_lightning.models.encoder import Encoder

_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
_SHOWN = 256 / 224  # side that is scaled, of the side that is cut out; as most networks were trained
_PIECE = 2**20  # bytes


class OnnxModel(Encoder):
    """A network in an ONNX file, on the CPU, or on a GPU if onnxruntime-gpu is installed.

    The file may say how large its images are, but not how they are scaled: ImageNet's mean and std are the defaults.

    Args:
        in_channels: colour channels of the images.
        file: the .onnx file; its first input takes images (N, C, H, W) as float32 or float16.
        output: name of the output with one vector for each image; the first one by default.

    Raises:
        ConfigError: ONNX Runtime is missing, or the file is no such network.
    """

    uses_autocast = False

    def __init__(self, in_channels: int, file: str, output: str | None = None) -> None:
        super().__init__()
        self._file = Path(file)
        self._session = _open(self._file)
        inputs, outputs = self._session.get_inputs(), [one.name for one in self._session.get_outputs()]
        if len(inputs) != 1 or inputs[0].type not in _TYPES or len(inputs[0].shape) != 4:
            found = ", ".join(f"{one.name}: {one.type} {one.shape}" for one in inputs)
            raise ConfigError(
                f"expected '{file}' to have one input of images (N, {in_channels}, H, W) in float32 or float16, got "
                f"{found}: export the part of the network that maps images to vectors"
            )
        if output is not None and output not in outputs:
            raise ConfigError(f"expected --model.output to be one of {', '.join(outputs)}, got '{output}'")
        self._input, self._output, self._dtype = inputs[0].name, output or outputs[0], _TYPES[inputs[0].type]
        batch, _, side, _ = inputs[0].shape
        self._batch = batch if isinstance(batch, int) else None
        if isinstance(side, int):
            self.preprocessing = Preprocessing(size=side, resize=round(side * _SHOWN))

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, D)."""
        parts = torch.split(images, self._batch or len(images))
        rows = [self._run(part) for part in parts]
        return torch.from_numpy(np.concatenate(rows)).to(images.device)

    def _run(self, images: Tensor) -> Any:
        values = images.cpu().numpy().astype(self._dtype)
        missing = (self._batch or len(values)) - len(values)  # of a file whose batches have a fixed size
        if missing:
            values = np.concatenate([values, np.zeros_like(values[:1]).repeat(missing, axis=0)])
        return self._session.run([self._output], {self._input: values})[0][: len(images)]

    def digest(self) -> str:
        """Hash the file, and the files beside it that begin with its name and hold its weights."""
        digest = hashlib.blake2b(digest_size=16)
        for file in sorted(self._file.parent.glob(f"{self._file.name}*")):
            with file.open("rb") as content:
                while piece := content.read(_PIECE):
                    digest.update(piece)
        return digest.hexdigest()


def _open(file: Path) -> Any:
    try:
        import onnxruntime
    except ModuleNotFoundError:
        raise ConfigError(
            "expected the library onnxruntime, which runs OnnxModel, found none: "
            "`python -m pip install 'msal_lightning[onnx]'`"
        ) from None
    if not file.is_file():
        raise ConfigError(f"expected --model.file to be an ONNX file, found none at '{file}': correct it")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors
    wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
    try:
        return onnxruntime.InferenceSession(
            str(file), options, providers=[name for name in wanted if name in onnxruntime.get_available_providers()]
        )
    except Exception as error:  # its own classes, for damaged files and unknown operators
        reason = " ".join(str(error).split())
        raise ConfigError(f"cannot read '{file}' as an ONNX file ({reason:.160}): export it again") from None
