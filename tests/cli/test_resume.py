"""skproj select --resume: finished steps of an interrupted run are used again."""

import json
import os
import shutil
import stat
import subprocess
import sys
import time
import warnings
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from cli_helpers import FAST, make_frame, select

from skproj import persistence
from skproj.cli import _checkpoints, _inputs, _selection
from skproj.cli._checkpoints import Checkpoints
from skproj.cli._errors import CommandError


def results(folder):
    """Return all that is written but the time, the command and the versions."""
    model = persistence.load(folder / "model.skops")
    X = make_frame().drop(columns="kind")
    predict = getattr(model, "decision_function", model.predict)
    numbers = json.loads((folder / "report.json").read_text())
    for name in ("written", "command"):
        del numbers[name]
    plots = [(p.name, p.read_bytes()) for p in sorted(folder.glob("*.png"))]
    return predict(X).tobytes(), numbers, plots, (folder / "features.json").read_text()


def interrupt(*args, **kwargs):
    raise KeyboardInterrupt


@pytest.fixture(scope="module")
def leftover(data):
    """Return the folder that a run has left which was interrupted after the search."""
    out = data.parent / "leftover"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_selection, "measure_stability", interrupt)
        assert select(data, "--out", out) == 130
    return out.with_name("leftover.partial")


@pytest.fixture
def partial(leftover, tmp_path):
    """Return a copy of the leftover, for the output `tmp_path / "out"`."""
    return shutil.copytree(leftover, tmp_path / "out.partial")


def test_killed_run_goes_on_where_it_was(data, result, tmp_path, monkeypatch, capsys):
    out, partial = tmp_path / "out", tmp_path / "out.partial"
    command = [sys.executable, "-m", "skproj", "select", str(data), "--target", "kind"]
    process = subprocess.Popen([*command, *FAST, "--out", str(out), "--quiet"])
    while process.poll() is None and not (partial / "search.joblib").exists():
        time.sleep(0.001)
    process.kill()
    assert process.wait() == -9
    finished = Checkpoints(partial).finished()
    assert finished
    assert not out.exists()

    monkeypatch.setattr(_selection, "find_radius", None)  # is not called
    assert select(data, "--out", out, "--resume") == 0
    printed = capsys.readouterr().out
    assert f"Resuming from {partial}, with {len(finished)} finished steps" in printed
    assert not partial.exists()
    assert results(out) == results(result)


@pytest.mark.filterwarnings("default:Precision is ill-defined")
@pytest.mark.parametrize("step", ["judge", "measure_stability", "predict_baseline"])
def test_warnings_are_those_of_an_uninterrupted_run(
    step, tmp_path, monkeypatch, capsys
):
    """On the terminal and in the report."""
    path, out, whole = (tmp_path / name for name in ("table.csv", "out", "whole"))
    frame = make_frame(n_classes=2)
    frame["kind"] = np.where(np.arange(len(frame)) % 9 == 0, "rare", "usual")
    frame.sort_values("kind").to_csv(path, index=False)
    arguments = ["--scoring", "precision_macro", "--eta", "1", "--quiet"]
    assert select(path, *arguments, "--out", whole) == 0
    expected = capsys.readouterr().err
    assert "skproj: warning: Precision is ill-defined" in expected
    with monkeypatch.context() as patch:
        patch.setattr(_selection, step, interrupt)
        assert select(path, *arguments, "--out", out) == 130
    capsys.readouterr()
    assert select(path, *arguments, "--out", out, "--resume") == 0
    assert capsys.readouterr().err == expected
    told, of_whole = (
        json.loads((folder / "report.json").read_text("utf-8"))["warnings"]
        for folder in (out, whole)
    )
    assert told == of_whole
    assert any("sorted" in sentence for sentence in told), told


@pytest.mark.parametrize("error", [CommandError("no"), KeyboardInterrupt()])
def test_warnings_of_a_step_that_fails_are_given(error, tmp_path):
    def fail():
        warnings.warn("the radius is doubtful", UserWarning, stacklevel=2)
        raise error

    steps = Checkpoints(tmp_path)
    with pytest.warns(UserWarning, match="radius is doubtful"):
        with pytest.raises(type(error)):
            steps.step("one", fail)
    assert steps.finished() == []


@pytest.mark.parametrize(
    ("step", "arguments"),
    [
        ("fit_folds", ["--test-size", "0", "--eta", "0.1"]),
        ("measure_stability", ["--stability", "2", "--eta", "0.1"]),
        ("predict_baseline", ["--method", "autoencoder", "--eta", "4"]),
        ("describe_features", ["--threshold", "f1", "--eta", "0.1"]),
    ],
)
def test_interrupted_run_goes_on_where_it_was(step, arguments, tmp_path, monkeypatch):
    path, out, whole = (tmp_path / name for name in ("table.csv", "out", "whole"))
    make_frame(n_classes=2).to_csv(path, index=False)
    with monkeypatch.context() as patch:
        patch.setattr(_selection, step, interrupt)
        assert select(path, *arguments, "--out", out) == 130
    assert (tmp_path / "out.partial" / "search.joblib").exists()
    with monkeypatch.context() as patch:
        patch.setattr(_selection, "find_radius", None)  # is not called
        assert select(path, *arguments, "--out", out, "--resume") == 0
    assert not (tmp_path / "out.partial").exists()
    assert select(path, *arguments, "--out", whole) == 0
    assert results(out) == results(whole)


def test_each_step_is_kept(data, result, tmp_path, monkeypatch):
    report = json.loads((result / "report.json").read_text("utf-8"))
    _, *compared = [model["name"] for model in report["models"]]
    monkeypatch.setattr(_selection, "warnings_on", interrupt)
    with joblib.parallel_config("threading"):
        assert select(data, "--out", tmp_path / "out", "--n-jobs", "2") == 130
    names = {path.stem for path in Checkpoints(tmp_path / "out.partial").finished()}
    assert compared
    assert {"search", "verdict", "stability", *compared} == names


def test_leftover_is_not_lost_by_mistake(data, partial, capsys):
    out = partial.with_name("out")
    assert select(data, "--out", out) == 2
    error = capsys.readouterr().err
    assert "finished steps of a run that did not end: --resume goes on from" in error
    assert partial.exists()
    assert select(data, "--out", out, "--overwrite", "--eta", "1") == 0
    assert f"in {partial} are dropped, without --resume" in capsys.readouterr().out
    assert not partial.exists()


def test_leftover_of_another_run_is_refused(data, partial, monkeypatch, capsys):
    out, other = partial.with_name("out"), partial.with_name("other.csv")
    resume = ["--out", out, "--resume"]
    make_frame().assign(gene3=0.0).to_csv(other, index=False)
    for path, arguments, sentence in (
        (other, [], "with other data, in 'the table'"),
        (data, ["--cv", "3"], "with other options, in 'cv'"),
        (data, ["--drop", "gene3"], "with other options, in 'drop'"),
    ):
        assert select(path, *arguments, *resume) == 2
        assert sentence in capsys.readouterr().err
    versions = {**_checkpoints.versions(), "skproj": "0.0"}
    monkeypatch.setattr(_checkpoints, "versions", lambda: versions)
    assert select(data, *resume) == 2
    assert "with other versions of libraries, in 'skproj'" in capsys.readouterr().err
    assert partial.exists()


def test_number_of_processes_may_change(data, partial, monkeypatch):
    monkeypatch.setattr(_selection, "find_radius", None)  # is not called
    arguments = ["--resume", "--n-jobs", "2", "--quiet"]
    with joblib.parallel_config("threading"):
        assert select(data, "--out", partial.with_name("out"), *arguments) == 0


def test_folder_of_someone_else_is_not_touched(data, tmp_path, capsys):
    partial = tmp_path / "out.partial"
    partial.mkdir()
    (partial / "thesis.txt").write_text("years of work")
    for option in ("--overwrite", "--resume"):
        assert select(data, "--out", tmp_path / "out", option) == 2
        assert "is in the way" in capsys.readouterr().err
    assert (partial / "thesis.txt").read_text() == "years of work"


@pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")
def test_folder_that_others_may_write_to_is_not_read(
    data, partial, monkeypatch, capsys
):
    """Its files could run any code."""
    monkeypatch.setattr(joblib, "load", None)  # is not called
    resume = ["--out", partial.with_name("out"), "--resume"]
    assert stat.S_IMODE(partial.stat().st_mode) == 0o700
    partial.chmod(0o777)
    assert select(data, *resume) == 2
    assert "others may write to it" in capsys.readouterr().err
    partial.chmod(0o700)
    monkeypatch.setattr(os, "getuid", lambda: partial.stat().st_uid + 1)
    assert select(data, *resume) == 2
    assert "belongs to another user" in capsys.readouterr().err


def test_nothing_to_resume(data, tmp_path, capsys):
    assert select(data, "--out", tmp_path / "out", "--eta", "1", "--resume") == 0
    assert "There is nothing to resume" in capsys.readouterr().out
    assert select(data, "--resume") == 2
    assert "--resume needs --out" in capsys.readouterr().err


def test_result_in_the_only_folder_that_can_be_written(data, tmp_path, monkeypatch):
    """There is no place for the steps, which are not kept."""
    out = tmp_path / "out"
    out.mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) == out)
    assert select(data, "--out", out, "--eta", "1") == 0
    assert list(tmp_path.iterdir()) == [out]
    assert select(data, "--out", out, "--overwrite", "--resume") == 2


def test_kill_while_the_steps_are_removed(data, partial, monkeypatch, capsys):
    """What is left can still be resumed."""
    monkeypatch.setattr(_checkpoints.shutil, "rmtree", interrupt)
    steps = Checkpoints(partial)
    with pytest.raises(KeyboardInterrupt):
        steps.drop()
    assert [path.name for path in partial.iterdir()] == ["run.json"]
    monkeypatch.undo()
    out = partial.with_name("out")
    assert select(data, "--out", out, "--resume", "--eta", "1") == 2
    assert "with other options, in 'eta'" in capsys.readouterr().err
    assert select(data, "--out", out, "--eta", "1") == 0
    assert not partial.exists()


def test_half_a_step_is_no_step(tmp_path):
    """A process that is killed while it writes leaves a file with another name."""
    steps = Checkpoints(tmp_path)

    class Unwritable:
        def __reduce__(self):
            raise OSError("No space left")

    with pytest.raises(OSError, match="No space"):
        steps.step("one", Unwritable)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / ".1234.joblib").write_bytes(b"half")
    assert steps.finished() == []


@pytest.mark.parametrize("what", ["half", "another run", "another program"])
def test_damaged_step_is_repeated(what, tmp_path):
    steps = Checkpoints(tmp_path, {"data": "one"})
    assert steps.step("one", lambda: 1) == steps.step("one", lambda: 2) == 1
    path = tmp_path / "one.joblib"
    if what == "half":
        path.write_bytes(path.read_bytes()[:-5])
    elif what == "another program":
        joblib.dump([3], path)
    else:
        steps = Checkpoints(tmp_path, {"data": "other"})
    with pytest.warns(
        UserWarning, match=r"one\.joblib is damaged; the step is repeated"
    ):
        assert steps.step("one", lambda: 4) == 4
    assert steps.step("one", lambda: 5) == 4


@pytest.mark.parametrize("what", ["table", "labels", "feature_groups"])
def test_file_that_changes_while_it_is_read(what, data, tmp_path, monkeypatch, capsys):
    """The steps would belong to other data than their folder says."""
    paths = {"table": tmp_path / "table.csv"}
    shutil.copy(data, paths["table"])
    arguments = ["--eta", "1"]
    if what == "labels":
        paths["labels"] = tmp_path / "labels.csv"
        frame = make_frame()
        frame[["kind"]].reset_index().to_csv(paths["labels"], index=False)
        frame.drop(columns="kind").reset_index().to_csv(paths["table"], index=False)
        arguments += ["--labels", paths["labels"], "--index", "index"]
    elif what == "feature_groups":
        paths[what] = tmp_path / "groups.csv"
        names = make_frame().columns.drop("kind")
        table = pd.DataFrame({"feature": names[:2], "group": "one"})
        table.to_csv(paths[what], index=False)
        arguments += ["--feature-groups", paths[what]]
    read = _inputs.read_inputs

    def read_and_change(*given):
        inputs = read(*given)
        with paths[what].open("a") as file:
            file.write("\n")
        return inputs

    monkeypatch.setattr(_inputs, "read_inputs", read_and_change)
    out = tmp_path / "out"
    assert select(paths["table"], *arguments, "--out", out) == 2
    assert "has changed while it was read: begin again" in capsys.readouterr().err
    assert not out.with_name("out.partial").exists()


def test_computed_and_kept_results_are_laid_out_alike(tmp_path):
    """Sums over another layout differ in the last digits."""
    made = np.ones((6, 4))[::2, ::-1]
    for _ in range(2):
        found = Checkpoints(tmp_path).step("one", lambda: made)
        assert found.flags.c_contiguous
