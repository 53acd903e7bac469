"""skproj verify: the run of a report is repeated, and its numbers are compared."""

import contextlib
import io
import json
import shutil
from pathlib import Path

import pytest
from cli_helpers import make_frame, run, select


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Return a folder in which a report was written of a table beside it."""
    folder = tmp_path_factory.mktemp("written")
    with contextlib.chdir(folder):
        make_frame(2).to_csv("table.csv", index=False)
        assert select("table.csv", "--eta", 2, "--out", "out") == 0
    return folder


@pytest.fixture
def report(written, tmp_path, monkeypatch):
    """Return a report that is in the current folder, as is its table."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(written, tmp_path, dirs_exist_ok=True)
    return tmp_path / "out" / "report.json"


def change(report, **values):
    content = json.loads(report.read_text("utf-8"))
    report.write_text(json.dumps(content | values), encoding="utf-8")


def test_a_report_comes_out_the_same(report, capsys, monkeypatch):
    assert run("verify", report) == 0
    assert "values of " in capsys.readouterr().out
    folder = report.parent.parent / "other"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert run("verify", report, "--data", "../table.csv") == 0
    assert "came out the same" in capsys.readouterr().out
    assert list(folder.iterdir()) == []


def test_numbers_that_differ(report, capsys):
    content = json.loads(report.read_text("utf-8"))
    features = content["features"]
    features[0]["score"] *= 1.0 + 1e-5
    versions = content["versions"] | {"numpy": "0.1"}
    change(report, eta=3.0, features=features, versions=versions)
    assert run("verify", report) == 2
    told = capsys.readouterr()
    assert "Versions differ: numpy 0.1 (now " in told.out
    assert "error: 2 of " in told.err
    assert "eta was 3.0, and is 2.0; features.0.score was " in told.err


def test_rounding_is_no_difference(report):
    features = json.loads(report.read_text("utf-8"))["features"]
    features[0]["score"] *= 1.0 + 1e-9
    change(report, features=features)
    assert run("verify", report) == 0


def test_another_table(report, capsys):
    frame = make_frame(2)
    frame.loc[0, "gene3"] += 0.001
    frame.to_csv("table.csv", index=False)
    assert run("verify", report) == 2
    assert "table.csv is not the file that the report was" in capsys.readouterr().err


def test_other_labels_and_groups(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    frame = make_frame(2).rename_axis("id")
    frame.drop(columns="kind").to_csv("table.csv")
    frame[["kind"]].to_csv("labels.csv")
    groups = "feature,group\ngene0,a\ngene1,a\n"
    Path("groups.csv").write_text(groups)
    arguments = ["--labels", "labels.csv", "--index", "id", "--out", "out"]
    arguments += ["--eta", 2, "--feature-groups", "groups.csv"]
    assert select("table.csv", *arguments) == 0
    assert run("verify", "out/report.json") == 0
    Path("groups.csv").write_text(groups.replace("gene1", "gene2"))
    assert run("verify", "out/report.json") == 2
    told = capsys.readouterr().err
    assert "groups.csv is not the file that the report was written of" in told
    Path("groups.csv").write_text(groups)
    frame[["kind"]][::-1].to_csv("labels.csv")
    assert run("verify", "out/report.json") == 2
    assert "the SHA-256 of the labels is another" in capsys.readouterr().err


def test_a_table_without_the_target_is_another_table(report, capsys):
    make_frame(2).drop(columns="kind").to_csv("table.csv", index=False)
    assert run("verify", report) == 2
    assert "table.csv is not the file that the report was" in capsys.readouterr().err


def test_a_report_of_the_standard_input(report, capsys, monkeypatch):
    content = report.parent.parent.joinpath("table.csv").read_bytes()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert select("-", "--eta", 2, "--out", "piped") == 0
    assert run("verify", "piped/report.json") == 2
    assert "came from the standard input; --data FILE" in capsys.readouterr().err
    assert run("verify", "piped/report.json", "--data", "table.csv") == 0


@pytest.mark.parametrize(
    "values", [{"command": 3}, {"versions": None}, {"data": []}, {"features": None}]
)
def test_parts_of_reports_that_are_spoiled(values, report, capsys):
    change(report, **values)
    assert run("verify", report) == 2
    assert "is no report.json of skproj select" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", "[]", "{}", "1", "no"])
def test_files_that_are_no_report(content, tmp_path, capsys):
    path = tmp_path / "report.json"
    path.write_text(content)
    assert run("verify", path) == 2
    assert f"{path} is no report.json of skproj select" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", ["skproj select --old", "skproj info", "", "skproj select 't"]
)
def test_commands_that_cannot_be_repeated(command, report, capsys):
    change(report, command=command)
    assert run("verify", report) == 2
    assert "was not written by a command of this version" in capsys.readouterr().err


def test_a_table_that_is_gone(report, capsys):
    (report.parent.parent / "table.csv").unlink()
    assert run("verify", report) == 2
    assert "There is no table.csv here; --data FILE says" in capsys.readouterr().err
