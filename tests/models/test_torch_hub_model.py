"""Networks of a local repository of torch.hub, against the same network made by hand."""

import pytest
import torch

from msal_lightning.errors import UserError
from msal_lightning.models.torch_hub_model import TorchHubModel

HUBCONF = """
import torch

dependencies = ["torch"]

class Net(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.body = torch.nn.Sequential(torch.nn.Conv2d(3, width, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
        self.fc = torch.nn.Linear(width, 10)

    def forward(self, images):
        return self.fc(self.body(images))

def small(width=4):
    return Net(width)

def number():
    return 3
"""


@pytest.fixture
def repo(tmp_path):
    (tmp_path / "hubconf.py").write_text(HUBCONF)
    return str(tmp_path)


def test_weights_of_a_file_and_no_classifier(repo, tmp_path):
    theirs = torch.hub.load(repo, "small", source="local", width=5)
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    images = torch.randn(2, 3, 8, 8)
    model = TorchHubModel(3, repo, "small", str(tmp_path / "weights.pth"), {"width": 5})
    torch.testing.assert_close(model(images), theirs(images))
    model = TorchHubModel(3, repo, "small", str(tmp_path / "weights.pth"), {"width": 5}, head="fc")
    torch.testing.assert_close(model(images), theirs.body(images))


MISTAKES = {
    "repo to be a folder with hubconf.py, got 'nowhere'": ("nowhere", "small", None),
    "entry_point 'smal' of .* to make a network, it failed .*Cannot find callable smal": (None, "smal", None),
    "it failed .TypeError: .*wdth": (None, "small", {"wdth": 3}),
    "to make a torch.nn.Module, got a int": (None, "number", None),
}


@pytest.mark.parametrize(("sentence", "arguments"), MISTAKES.items())
def test_a_mistake_is_one_sentence(repo, sentence, arguments):
    folder, entry_point, kwargs = arguments
    with pytest.raises(UserError, match=sentence):
        TorchHubModel(3, folder or repo, entry_point, kwargs=kwargs)


def test_a_head_that_is_none_and_weights_of_another_network(repo, tmp_path):
    with pytest.raises(UserError, match=r"--model.head to be a module of 'small' \(body, fc\), got 'classifier'"):
        TorchHubModel(3, repo, "small", head="classifier")
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "weights.pth")
    with pytest.raises(UserError, match="to hold the weights of small, got 0 of 4 tensors"):
        TorchHubModel(3, repo, "small", str(tmp_path / "weights.pth"))
