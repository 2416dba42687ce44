"""``loop.replay``: the labels of another run, for another model."""

import pytest
import torch

from msal_lightning.errors import UserError


def weights(run):
    return torch.load(run / "checkpoints/round-002.ckpt")["state_dict"]


def same(a, b):
    return all(torch.equal(weights(a)[name], value) for name, value in weights(b).items())


@pytest.fixture(scope="module")
def first(loop_in, tmp_path_factory):
    """A finished run."""
    folder = tmp_path_factory.mktemp("replayed") / "first"
    loop_in(folder, epochs=2).run()
    return folder


@pytest.mark.parametrize("options", [{"head": "linear"}, {"seed": 3}], ids=str)
def test_another_model_gets_the_same_labels(make_loop, first, tmp_path, options):
    again = make_loop("again", epochs=2, replay=str(first), **options)
    records = again.run()
    assert (tmp_path / "again/ledger.csv").read_bytes() == (first / "ledger.csv").read_bytes()
    assert [record.num_labeled for record in records] == [40, 80, 105]
    assert [int((again.data.labeled_at == k).sum()) for k in range(3)] == [40, 40, 25]
    theirs = torch.load(first / "checkpoints/round-002.ckpt")
    split = next(part for part in theirs.values() if isinstance(part, dict) and "labeled_at" in part)
    assert torch.equal(again.data.labeled_at, split["labeled_at"])
    assert options == {"head": "linear"} or not same(tmp_path / "again", first)


def test_the_same_model_is_the_same_also_after_a_kill(make_loop, killed, first, tmp_path):
    killed(make_loop("again", epochs=2, replay=str(first), kill_at=(1, 1)))
    make_loop("again", epochs=2, replay=str(first)).run()
    assert same(tmp_path / "again", first)


def test_another_dataset_is_refused(make_loop, first):
    loop = make_loop("again", replay=str(first))
    loop.data.hidden_labels._HiddenLabels__labels += 1
    with pytest.raises(UserError, match=r"first', got others \(the label of train image 0 is another one\)"):
        loop.run()
