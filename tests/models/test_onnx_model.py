"""Networks in ONNX files, against the mean that they compute."""

import sys

import numpy as np
import pytest
import torch

from msal_lightning.errors import UserError
from msal_lightning.models.onnx_model import OnnxModel


@pytest.fixture
def write(tmp_path):
    """``write(batch, kind)``: a file whose network gives the mean of each channel, and the images themselves."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")

    def write(batch="N", kind=np.float32, side=8):
        kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(kind))
        make = onnx.helper.make_tensor_value_info
        images = make("images", kind, [batch, 3, side, side])
        outputs = [make("pooled", kind, [batch, 3]), make("maps", kind, [batch, 3, side, side])]
        nodes = [
            onnx.helper.make_node("GlobalAveragePool", ["images"], ["mean"]),
            onnx.helper.make_node("Flatten", ["mean"], ["pooled"]),
            onnx.helper.make_node("Identity", ["images"], ["maps"]),
        ]
        graph = onnx.helper.make_graph(nodes, "mean", [images], outputs)
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
        onnx.save(model, tmp_path / "model.onnx")
        return str(tmp_path / "model.onnx")

    return write


@pytest.mark.parametrize(("batch", "kind"), [("N", np.float32), (1, np.float32), (4, np.float32), ("N", np.float16)])
def test_it_gives_what_the_file_computes(write, batch, kind):
    images = torch.randn(6, 3, 8, 8)
    tolerance = 1e-2 if kind == np.float16 else 1e-6
    found = OnnxModel(3, write(batch, kind))(images).float()
    torch.testing.assert_close(found, images.mean((2, 3)), rtol=tolerance, atol=tolerance)


def test_another_output_and_the_size_of_its_images(write):
    model = OnnxModel(3, write(), output="maps")
    assert model(torch.zeros(2, 3, 8, 8)).shape == (2, 3, 8, 8)
    assert (model.preprocessing.size, model.preprocessing.resize) == (8, 9)
    assert OnnxModel(3, write(side="S")).preprocessing is None
    with pytest.raises(UserError, match=r"--model.output to be one of pooled, maps, got 'logits'"):
        OnnxModel(3, write(), output="logits")


def test_the_digest_is_that_of_all_its_files(write):
    file = write()
    first = OnnxModel(3, file).digest()
    assert OnnxModel(3, file).digest() == first
    with open(f"{file}.data", "wb") as weights:  # noqa: PTH123
        weights.write(b"weights")
    assert OnnxModel(3, file).digest() != first


def test_a_file_that_is_none(write, tmp_path):
    (tmp_path / "damaged.onnx").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"cannot read '.*damaged.onnx' as an ONNX file"):
        OnnxModel(3, str(tmp_path / "damaged.onnx"))
    with pytest.raises(UserError, match=r"--model.file to be an ONNX file, found none"):
        OnnxModel(3, str(tmp_path / "none.onnx"))


def test_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"found none: `python -m pip install 'msal_lightning\[onnx\]'`"):
        OnnxModel(3, "model.onnx")
