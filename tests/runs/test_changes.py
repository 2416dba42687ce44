"""An upgrade that adds or drops an option in the middle of a run."""

import json

import pytest
import yaml

from msal_lightning.cli.main import main
from msal_lightning.runs.changes import aligned, changed, gone, without_defaults
from msal_lightning.runs.config import flatten
from msal_lightning.runs.directory import RunDirectory
from msal_lightning.runs.records import digest_of

ADAM = {"model.optimizer.class_path": "torch.optim.Adam", "model.optimizer.init_args.lr": 0.01}
STOP = {"class_path": "lightning.pytorch.callbacks.EarlyStopping", "init_args": {"monitor": "train_loss"}}


@pytest.mark.parametrize(
    ("added", "differs"),
    [
        ({"model.optimizer.init_args.amsgrad": False}, False),
        ({"model.optimizer.init_args.amsgrad": True}, True),
        ({"model.optimizer.init_args.betas": [0.9, 0.999]}, False),  # a tuple in the signature
        ({"model.optimizer.init_args.eps": 1e-7}, True),
        ({"model.optimizer.init_args.foreach": None}, False),
        ({"model.optimizer.init_args.maximize": 0}, True),  # not what False is in YAML
        ({"trainer.detect_anomaly": False}, False),
        ({"trainer.detect_anomaly": True}, True),
        ({"model.radius": 1.0}, False),
        ({"model.radius": 2.0}, True),
        ({"loop.pool_error": False}, False),
        ({"query.init_args.beta": 10}, True),  # of a class that is not named
        ({"data.init_args.x": 1, "data.class_path": "somebody.elses.Data"}, True),
    ],
)
def test_a_default_that_only_one_has_is_no_difference(added, differs):
    for a, b in ((ADAM, ADAM | added), (ADAM | added, ADAM)):
        assert bool(changed(a, b)) == differs
    assert (without_defaults(ADAM) != without_defaults(ADAM | added)) == differs


def test_what_both_set_is_compared_whatever_the_default_is():
    a, b = ADAM | {"model.optimizer.init_args.lr": 0.001}, ADAM
    assert changed(a, b) == {"model.optimizer.init_args.lr": (0.001, 0.01)}


def test_callbacks_stand_in_lists():
    former, steps = {"trainer.devices": 1}, {"trainer.devices": 1, "trainer.max_steps": 50}
    assert aligned([former, steps, steps]) == [former] * 3  # not known of the first
    assert aligned([former, steps, steps | {"trainer.max_steps": 9}])[1:] == [steps, steps | {"trainer.max_steps": 9}]
    longer = {**STOP, "init_args": {**STOP["init_args"], "strict": True}}
    other = {**STOP, "init_args": {**STOP["init_args"], "strict": False}}
    assert not changed({"trainer.callbacks": [STOP]}, {"trainer.callbacks": [longer]})
    assert changed({"trainer.callbacks": [STOP]}, {"trainer.callbacks": [other]})


def test_a_module_of_a_stranger_is_not_imported(tmp_path, monkeypatch):
    (tmp_path / "theirs.py").write_text("raise SystemExit")
    monkeypatch.syspath_prepend(tmp_path)
    assert changed({"query.class_path": "theirs.Q"}, {"query.class_path": "theirs.Q", "query.init_args.n": 1})


def test_options_that_are_gone():
    before = ADAM | {"model.optimizer.init_args.old": 1, "trainer.older": 2, "somewhere.else": 3}
    assert gone(before, ADAM) == ["model.optimizer.init_args.old", "trainer.older"]


def test_aligned_keeps_what_another_class_does_not_have():
    msald = {"query.class_path": "msal_lightning.strategies.MSALD", "query.init_args.beta": 10}
    entropy = {"query.class_path": "msal_lightning.strategies.Entropy"}
    new = ADAM | {"model.optimizer.init_args.amsgrad": False}
    assert aligned([msald | ADAM, entropy | new]) == [msald | ADAM, entropy | ADAM]
    former, steps = {"trainer.devices": 1}, {"trainer.devices": 1, "trainer.max_steps": 50}
    assert aligned([former, steps, steps]) == [former] * 3  # not known of the first
    assert aligned([former, steps, steps | {"trainer.max_steps": 9}])[1:] == [steps, steps | {"trainer.max_steps": 9}]
    longer = {**STOP, "init_args": {**STOP["init_args"], "strict": True}}
    assert (
        aligned([{"trainer.callbacks": [STOP]}, {"trainer.callbacks": [longer]}]) == [{"trainer.callbacks": [STOP]}] * 2
    )


# ---------------------------------------------------------------- a run

RUN = ["fit", "--config", "digits", "--loop.query_budget", "0", "--trainer.max_epochs", "1", "--trainer.accelerator",
       "cpu", "--model.backbone.width", "2", "--model.optimizer", "Adam", "--run_dir"]  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """``finished(edit, **environment)``: an unfinished run as another version has left it."""
    folder = tmp_path_factory.mktemp("upgrade")
    assert main([*RUN, str(folder / "run")]) == 0
    config, record = (folder / "run" / name for name in ("config.yaml", "rounds/000.json"))
    before = config.read_text(), record.read_text()

    def edit(change, **environment):
        plain = yaml.safe_load(before[0])
        change(plain["model"]["optimizer"]["init_args"])
        config.write_text(yaml.safe_dump(plain, sort_keys=False))
        body = json.loads(before[1])
        version, _ = body.pop("format"), body.pop("digest")
        body["environment"] |= environment
        record.write_text(json.dumps({"format": version, "digest": digest_of(body), **body}))
        return folder / "run"

    return edit


def test_a_run_goes_on_where_adam_has_a_new_argument(finished):
    assert main([*RUN, str(finished(lambda adam: adam.pop("amsgrad")))]) == 0


def test_an_argument_that_was_set_counts(finished, capsys):
    assert main([*RUN, str(finished(lambda adam: adam.update(amsgrad=True)))]) == 2
    assert "amsgrad was True, now False" in capsys.readouterr().err


def test_an_argument_that_is_gone_is_said(finished, capsys):
    run = finished(lambda adam: adam.update(old=3))
    assert main([*RUN, str(run)]) == 2  # with the same versions it can only be another configuration
    assert "old was 3, now None" in capsys.readouterr().err
    assert main([*RUN, str(finished(lambda adam: adam.update(old=3), torch="1.0"))]) == 0
    said = capsys.readouterr().out
    assert "model.optimizer.init_args.old is no option any more (torch 1.0, now" in said


def test_a_saved_fit_is_not_thrown_away(finished):
    run = finished(lambda adam: adam.pop("amsgrad"))
    old = yaml.safe_load((run / "config.yaml").read_text())
    new = yaml.safe_load((finished(lambda adam: None) / "config.yaml").read_text())
    assert flatten(old) != flatten(new)
    assert RunDirectory(run, old).config_digest == RunDirectory(run, new).config_digest


HIDDEN = {"max_steps", "accumulate_grad_batches", "num_nodes", "check_val_every_n_epoch", "inference_mode",
          "detect_anomaly", "sync_batchnorm", "enable_autolog_hparams"}  # fmt: skip


def test_a_run_goes_on_whose_version_kept_few_options_of_the_trainer(finished, tmp_path, capsys):
    run = finished(lambda adam: None)
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["trainer"].keys() >= HIDDEN
    former = {**config, "trainer": {key: value for key, value in config["trainer"].items() if key not in HIDDEN}}
    digest = RunDirectory(run, former).config_digest
    (run / "config.yaml").write_text(yaml.safe_dump(former, sort_keys=False))
    fits = RunDirectory(run, former).config_digest, RunDirectory(run, config).config_digest
    assert fits == (digest, digest)  # so a saved fit is not thrown away
    assert main([*RUN, str(run)]) == 0
    assert "did not keep these options; from here on: trainer.max_steps 50" in capsys.readouterr().out
    assert main([*RUN, str(run), "--trainer.max_epochs", "2"]) == 2
    assert "trainer.max_epochs was 1, now 2 (" not in capsys.readouterr().err
    assert main(["replay", "--run", str(run), "--run_dir", str(tmp_path / "again")]) == 0
    assert "give yours again, as --trainer.KEY VALUE" in capsys.readouterr().out


def test_another_number_of_steps_is_another_configuration(finished, capsys):
    run = finished(lambda adam: None)
    assert main([*RUN, str(run), "--trainer.max_steps", "3"]) == 2
    assert "trainer.max_steps was 50, now 3" in capsys.readouterr().err


def test_report_takes_runs_of_two_versions(finished, tmp_path):
    folder = finished(lambda adam: adam.pop("amsgrad"), torch="1.0").parent
    assert main([*RUN, str(folder / "other"), "--query", "Entropy"]) == 0
    assert main(["report", str(folder), "--out", str(tmp_path / "report")]) == 0
    assert "Entropy" in (tmp_path / "report" / "report.md").read_text()
