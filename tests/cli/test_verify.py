"""skproj verify: the run of a report is repeated, and its numbers are compared."""

import json

import pytest
from cli_helpers import FAST, make_frame

from skproj.cli import main


@pytest.fixture
def report(tmp_path, monkeypatch):
    """Return a report that was written in the current folder."""
    monkeypatch.chdir(tmp_path)
    make_frame(2).to_csv("table.csv", index=False)
    arguments = ["select", "table.csv", "--target", "kind", *FAST, "--eta", "2"]
    assert main([*arguments, "--out", "out"]) == 0
    return tmp_path / "out" / "report.json"


def change(report, **values):
    content = json.loads(report.read_text("utf-8"))
    report.write_text(json.dumps(content | values), encoding="utf-8")


def test_a_report_comes_out_the_same(report, capsys, monkeypatch):
    assert main(["verify", str(report)]) == 0
    assert "values of " in capsys.readouterr().out
    folder = report.parent.parent / "other"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert main(["verify", str(report), "--data", "../table.csv"]) == 0
    assert "came out the same" in capsys.readouterr().out
    assert list(folder.iterdir()) == []


def test_numbers_that_differ(report, capsys):
    content = json.loads(report.read_text("utf-8"))
    features = content["features"]
    features[0]["score"] *= 1.0 + 1e-5
    versions = content["versions"] | {"numpy": "0.1"}
    change(report, eta=3.0, features=features, versions=versions)
    assert main(["verify", str(report)]) == 2
    told = capsys.readouterr()
    assert "Versions differ: numpy 0.1 (now " in told.out
    assert "error: 2 of " in told.err
    assert "eta was 3.0, and is 2.0; features.0.score was " in told.err


def test_rounding_is_no_difference(report):
    features = json.loads(report.read_text("utf-8"))["features"]
    features[0]["score"] *= 1.0 + 1e-9
    change(report, features=features)
    assert main(["verify", str(report)]) == 0


def test_another_table(report, capsys):
    frame = make_frame(2)
    frame.loc[0, "gene3"] += 0.001
    frame.to_csv("table.csv", index=False)
    assert main(["verify", str(report)]) == 2
    assert "table.csv is not the file that the report was" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", "[]", "{}", "1", "no"])
def test_files_that_are_no_report(content, tmp_path, capsys):
    path = tmp_path / "report.json"
    path.write_text(content)
    assert main(["verify", str(path)]) == 2
    assert f"{path} is no report.json of skproj select" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["skproj select --old", "skproj info", ""])
def test_commands_that_cannot_be_repeated(command, report, capsys):
    change(report, command=command)
    assert main(["verify", str(report)]) == 2
    assert "was not written by a command of this version" in capsys.readouterr().err


def test_a_table_that_is_gone(report, capsys):
    (report.parent.parent / "table.csv").unlink()
    assert main(["verify", str(report)]) == 2
    assert "There is no table.csv here; --data FILE says" in capsys.readouterr().err
