"""What a user of the terminal meets first: speed, help and progress."""

import io
import json
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import skops.io
from cli_helpers import make_frame, select, write
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skproj
from skproj import persistence
from skproj.cli import main
from skproj.persistence._summary import SUMMARY, read_summary, with_summary

BAR = "Selection of features"
HEAVY = {"torch", "sklearn", "matplotlib"}


def modules_after(*commands):
    """Run commands in a process; return the code of each, and the modules so far."""
    code = (
        "import json, sys; from skproj.cli import main\n"
        "for command in json.loads(sys.argv[1]):\n"
        "    code = main(command)\n"
        "    print(json.dumps([code, *sys.modules]))"
    )
    text = json.dumps([list(map(str, command)) for command in commands])
    done = subprocess.run(
        [sys.executable, "-c", code, text], capture_output=True, text=True, check=True
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("[")]
    found = [json.loads(line) for line in lines]
    assert len(found) == len(commands)
    return [(code, set(modules)) for code, *modules in found]


def test_errors_help_and_info_come_before_the_libraries(result, tmp_path):
    """And without the table also before NumPy and pandas."""
    frame = make_frame()
    frame["note"], frame.loc[3, "gene1"] = "a b", np.nan
    table = write(frame, tmp_path / "table.csv")
    at_once = [
        (2, ["select", "none.csv", "--target", "y"]),
        (2, ["apply", "none.skops", "none.csv"]),
        (2, ["export", "panel", "none", "--out", "out"]),
        (2, ["info", "none.skops"]),
        (0, ["info", result / "model.skops"]),
        (0, ["--help"]),
    ]
    later = [
        (2, ["export", "panel", tmp_path, "--out", tmp_path]),
        (2, ["datasets", "diabets", "--out", "x"]),
        (2, ["apply", table, table, "--sheet", "1"]),
        (2, ["apply", table, table, "--out", table]),
        (2, ["select", table, "--target", "typo", "--cv", "1", "--drop", "nothere"]),
        (2, ["select", table, "--target", "kind"]),
        (0, ["info"]),
    ]
    found = modules_after(*(command for _, command in at_once + later))
    for (expected, command), (code, modules) in zip(
        at_once + later, found, strict=True
    ):
        assert code == expected, command
        unwanted = HEAVY
        if (expected, command) in at_once:
            unwanted = HEAVY | {"numpy", "pandas", "scipy"}
        assert modules.isdisjoint(unwanted), command


def test_info_of_a_model_that_a_program_has_saved(tmp_path, capsys):
    frame = make_frame()
    X, y = frame.drop(columns="kind"), frame["kind"]
    model = make_pipeline(StandardScaler(), skproj.ProjectionFeatureSelector())
    path = tmp_path / "model.skops"
    persistence.dump(model.fit(X, y), path)
    ((code, modules),) = modules_after(["info", path])
    assert code == 0
    assert modules.isdisjoint(HEAVY)
    assert main(["info", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "StandardScaler, ProjectionFeatureSelector" in printed
    assert f"skproj {skproj.__version__}" in printed
    assert f"{model[-1].get_support().sum()} of 8" in printed


def test_info_of_a_file_without_a_summary(tmp_path, capsys):
    """As skops writes it: the model is loaded."""
    path = tmp_path / "model.skops"
    skops.io.dump(StandardScaler().fit(np.eye(3)), path)
    assert main(["info", str(path)]) == 0
    printed = capsys.readouterr().out
    assert printed.split() == ["file", str(path), "model", "StandardScaler"]


def test_summary_of_a_copy_is_the_same(result, tmp_path):
    """With the verdict, which a program that loads the model keeps."""
    summary = read_summary(result / "model.skops")
    assert list(summary)[:2] == ["verdict", "model"]
    copy = tmp_path / "copy.skops"
    persistence.dump(persistence.load(result / "model.skops"), copy)
    assert read_summary(copy) == summary


def test_summary_cannot_move_the_cursor(tmp_path, capsys):
    path = tmp_path / "model.skops"
    empty = io.BytesIO()
    zipfile.ZipFile(empty, "w").close()
    lines = {"model\n": "\x1b[2Jgone\u202e"}
    path.write_bytes(with_summary(empty.getvalue(), lines))
    assert main(["info", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "\u202e" not in printed
    assert printed.count("\n") == 2


@pytest.mark.parametrize("content", ["[]", "{", "1" * 2**21])
def test_summary_of_nonsense_is_none(content, tmp_path):
    path = tmp_path / "model.skops"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(SUMMARY, content)
    assert read_summary(path) is None


def test_no_arguments_print_the_help(capsys):
    assert main([]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("usage: skproj ")
    assert "select features and write a report" in printed.out
    assert printed.err == ""


@pytest.mark.parametrize("method", ["selector", "autoencoder"])
def test_progress_is_one_line_in_plain_words(method, data, capsys):
    arguments = ["--target", "kind", "--cv", "2", "--eta", "4", "--method", method]
    assert main(["select", str(data), *arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    (bar,) = [line for line in lines if line.startswith(BAR)]
    assert "100%" in bar
    words = " ".join(lines).lower()
    for jargon in ("pipeline", "gridsearchcv", "fit-final-estimator", "#1"):
        assert jargon not in words


def test_no_progress_without_a_wish(data, capsys):
    assert select(data, "--eta", 4) == 0
    assert BAR not in capsys.readouterr().out


def test_names_cannot_move_the_cursor(tmp_path, capsys):
    """In the result, warnings and errors of a table from anywhere."""
    frame = make_frame().rename(columns={"gene0": "two\nlines", "gene1": "\x1b[2Jgone"})
    frame["kind"] = frame["kind"].str.replace("red", "\x1b[31mred\u202e")
    frame["gene2"] = frame["two\nlines"]
    out = tmp_path / "out"
    assert select(frame, "--eta", "1", "--out", out) == 0
    assert main(["export", "panel", str(out), "--out", str(tmp_path / "panel")]) == 0
    assert select(frame, "--task", "regression") == 2
    assert select(frame.assign(**{"\x1b[2Jgone": np.inf})) == 2
    captured = capsys.readouterr()
    printed = captured.out + captured.err
    assert "\x1b" not in printed
    assert "\u202e" not in printed
    assert "  two\\nlines  (high in \\x1b[31mred\\u202e)\n" in captured.out
    assert "columns: '\\x1b[2Jgone'" in captured.err
