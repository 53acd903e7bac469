"""Errors of the command line, files that exist, and help."""

import os
import re
import subprocess
import sys

import anndata
import numpy as np
import pandas as pd
import pytest
from cli_helpers import N_ROWS, make_frame, select
from scipy import sparse

import skproj
from skproj import persistence
from skproj.cli import _inputs, _select, main
from skproj.cli._report import FILES


def change(**columns):
    return make_frame().assign(**columns)


WITHOUT_PLOTS = {name for name in FILES if not name.endswith(".png")}
few = ["red"] * 2 + ["blue"] * (N_ROWS - 2)


ONE_LINE = [
    (make_frame(), ["--target", "Kind"], "no column 'Kind'; did you mean 'kind'?"),
    (make_frame(), ["--target", "zzz"], "no column 'zzz'; there are 'gene0', "),
    (make_frame(), ["--drop", "gen1"], "no column 'gen1'; did you mean"),
    (make_frame().iloc[:0], [], "has no rows"),
    (make_frame()[["kind"]], [], "has no features besides the target"),
    (change(kind=2.5), [], "one value only: '2.5'"),
    (change(kind=few), [], "class 'red' has 2 rows only, and 2 folds"),
    (change(kind=np.nan), [], "the target 'kind' is missing in 90 of 90 rows"),
    (change(note="a b"), [], "not numbers: 'note' (the first begins with 'a b'); --d"),
    (make_frame(), ["--task", "regression"], "'kind' is not a number"),
    (make_frame().iloc[::10], ["--cv", "9"], "rows only, and 9 folds"),
    (make_frame()[["gene0", "kind"]].assign(gene0=1), [], "same value in all rows"),
    (make_frame(), ["--layer", "raw"], "--layer is for .h5ad and .zarr"),
    (make_frame(), ["--scoring", "acuracy"], "did you mean 'accuracy'"),
    (make_frame(), ["--threshold", "f1"], "two classes, and 'kind' has 3 classes."),
    (change(gene1=1e300), [], "too large values, 90 in 1 of 8 columns: 'gene1'"),
]


@pytest.mark.parametrize(
    ("frame", "arguments", "sentence"), ONE_LINE, ids=[row[2][:30] for row in ONE_LINE]
)
def test_unsuitable_table_gets_one_line(frame, arguments, sentence, tmp_path, capsys):
    path, out = tmp_path / "table.csv", tmp_path / "new" / "out"
    frame.to_csv(path, index=False)
    assert select(path, *arguments, "--out", out) == 2
    error = capsys.readouterr().err
    assert error.startswith("skproj: error: ")
    assert error.count("\n") == 1
    assert sentence in error
    assert [entry.name for entry in tmp_path.iterdir()] == ["table.csv"]


@pytest.mark.filterwarnings("default::UserWarning")
@pytest.mark.parametrize("method", ["selector", "autoencoder"])
def test_selection_of_nothing_is_an_error(method, data, tmp_path, capsys):
    out = tmp_path / "out"
    assert select(data, "--method", method, "--eta", "1e-300", "--out", out) == 2
    *warnings, error = capsys.readouterr().err.splitlines()
    assert all(line.startswith("skproj: warning: ") for line in warnings)
    assert error.startswith("skproj: error: no feature was selected")
    assert not out.exists()


def test_apply_to_columns_that_are_not_numbers(result, tmp_path, capsys):
    for number, sentence in (("many", "not numbers: 'gene0'"), (np.inf, "infinite")):
        path = tmp_path / "new.csv"
        change(gene0=number).to_csv(path, index=False)
        assert main(["apply", str(result / "model.skops"), str(path)]) == 2
        error = capsys.readouterr().err
        assert sentence in error
        assert "--drop" not in error  # which is no option of apply


BROKEN = {
    "twice.csv": (b"a,b,a,kind\n1,2,3,x\n", "several columns of the same name: 'a'"),
    "empty.csv": (b"", "is empty"),
    "lines.csv": (b"\n\n", "is empty"),
    "spaces.csv": (b"a kind\n1 x\n", "no column 'kind'; did you mean 'a kind'"),
    "unnamed.csv": (b"a,,kind,\n1,2,x,\n", "columns without a name: 2"),
    "extra.csv": (b"a,kind\n1,2,3,x\n1,2,3,x\n", "more columns than names"),
    "utf16.csv": ("a,kind\n1,x\n".encode("utf-16-le"), "--encoding utf-16-le"),
    "ragged.csv": (b"a,kind\n1,x\n1,x,3,4\n", "cannot be read: "),
    "table.parquet": (b"nonsense", "cannot be read: "),
    "table.h5ad": (b"nonsense", "cannot be read: "),
    "table.xlsx": (b"nonsense", "cannot be read: "),
    "table.ods": (b"nonsense", "unsupported file type '.ods'"),
    "table": (b"nonsense", "unsupported file type 'without suffix'"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_table_gets_one_line(name, tmp_path, capsys):
    content, sentence = BROKEN[name]
    (tmp_path / name).write_bytes(content)
    assert select(tmp_path / name) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert sentence in error


def test_missing_files_get_one_line(result, data, tmp_path, capsys):
    for arguments in (
        ["select", tmp_path / "none.csv", "--target", "kind"],
        ["select", tmp_path, "--target", "kind"],
        ["apply", tmp_path / "none.skops", data],
        ["apply", result / "model.skops", tmp_path / "none.csv"],
        ["info", tmp_path],
    ):
        assert main([str(argument) for argument in arguments]) == 2
        assert re.fullmatch(
            r"skproj: error: \S+ (does not exist|is a folder)\.\n",
            capsys.readouterr().err,
        )


def test_a_path_may_have_a_percent_sign(tmp_path, capsys):
    path = tmp_path / "100%sure.csv"
    make_frame().to_csv(path, index=False)
    assert select(path, target="Kind") == 2
    error = capsys.readouterr().err
    assert "100%sure.csv has no column 'Kind'; did you mean 'kind'?" in error


def test_several_columns_in_h5ad_with_the_same_name(tmp_path, capsys):
    with pytest.warns(UserWarning, match="Variable names are not unique"):
        adata = anndata.AnnData(
            np.eye(4),
            obs=pd.DataFrame({"kind": list("abab")}, index=list("wxyz")),
            var=pd.DataFrame(index=["a", "a", "b", "c"]),
        )
    adata.write_h5ad(tmp_path / "cells.h5ad")
    assert select(tmp_path / "cells.h5ad") == 2
    assert "several columns of the same name: 'a'" in capsys.readouterr().err


def test_h5ad_without_the_column(tmp_path, capsys):
    path = tmp_path / "cells.h5ad"
    obs = pd.DataFrame({"kind": list("abab")}, index=list("wxyz"))
    for columns, known in (([], "none"), (["kind"], "'kind'")):
        adata = anndata.AnnData(sparse.csr_matrix(np.eye(4)), obs=obs[columns])
        adata.write_h5ad(path)
        assert select(path, target="zzz") == 2
        error = capsys.readouterr().err
        assert error.endswith(f"has no column of obs 'zzz'; there are {known}\n")


def test_damaged_model_gets_one_line(result, data, tmp_path, capsys):
    path = tmp_path / "model.skops"
    path.write_bytes((result / "model.skops").read_bytes()[:-100])
    for arguments in (["info", str(path)], ["apply", str(path), str(data)]):
        assert main(arguments) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_model_of_newer_version_gets_one_line(
    data, result, tmp_path, monkeypatch, capsys
):
    model = persistence.load(result / "model.skops")
    with monkeypatch.context() as patch:
        kind = skproj.ProjectionFeatureSelectorCV
        patch.setattr(kind, "_state_migrations", (*kind._state_migrations, dict))
        persistence.dump(model, tmp_path / "newer.skops")
    newer = str(tmp_path / "newer.skops")
    assert main(["apply", newer, str(data), "--out", str(tmp_path / "out.csv")]) == 2
    assert "newer version" in capsys.readouterr().err
    assert main(["info", newer]) == 0  # reads the summary, not the model


def test_files_are_replaced_only_when_asked(data, result, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("keep")
    (out / "test.png").write_text("of an earlier run")
    assert select(data, "--out", out) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert select(data, "--out", out, "--overwrite", "--test-size", 0) == 0
    names = {path.name for path in out.iterdir()}
    assert names == WITHOUT_PLOTS | {"mine.txt"}

    file = tmp_path / "predictions.csv"
    apply = ["apply", str(result / "model.skops"), str(data), "--out", str(file)]
    assert [main(apply), main(apply), main([*apply, "--overwrite"])] == [0, 2, 0]
    assert "--overwrite" in capsys.readouterr().err
    assert select(data, "--out", file, "--overwrite") == 2
    assert "--out must be a folder" in capsys.readouterr().err


def test_out_is_checked_before_the_search(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(_select, "select", None)
    assert select(data, "--out", data / "out") == 2
    assert "table.csv is not a folder that can be written" in capsys.readouterr().err
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert select(data, "--out", tmp_path / "new" / "out") == 2
    assert "is not a folder that can be written" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("out", ["link", "link/deep", "link.csv"])
def test_links_to_nothing_are_refused_before_the_work(
    out, data, result, tmp_path, monkeypatch, capsys
):
    link = tmp_path / out.partition("/")[0]
    link.symlink_to(tmp_path / "missing")
    monkeypatch.setattr(_select, "select", None)
    for command in (
        ["select", str(data), "--target", "kind"],
        ["apply", str(result / "model.skops"), str(data), "--overwrite"],
        ["datasets", "diabetes"],
    ):
        assert main([*command, "--out", str(tmp_path / out)]) == 2
        error = capsys.readouterr().err
        if command[0] != "datasets" or out == "link.csv":
            assert error == f"skproj: error: --out: {link} is a link to nothing.\n"
    assert [path.name for path in tmp_path.iterdir()] == [link.name]


def test_special_files_are_not_replaced(data, result, tmp_path, capsys):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    arguments = ["apply", str(result / "model.skops"), str(data), "--overwrite"]
    assert main([*arguments, "--out", str(pipe)]) == 2
    assert "--out must be a file" in capsys.readouterr().err


def test_files_of_a_folder_that_exists_are_made_within_it(data, tmp_path, monkeypatch):
    """It can be a file system of its own, or in a folder that is not ours."""
    out = tmp_path / "out"
    out.mkdir()
    used = []
    write = _select.write_report
    monkeypatch.setattr(
        _select, "write_report", lambda *a: (used.append(a[0]), write(*a))
    )
    assert select(data, "--out", out) == 0
    assert used[0].parent == out
    assert {path.name for path in out.iterdir()} == WITHOUT_PLOTS


@pytest.mark.parametrize("has_result", [False, True])
@pytest.mark.parametrize(
    ("step", "error", "code"),
    [
        ("select", KeyboardInterrupt, 130),
        ("write_report", KeyboardInterrupt, 130),
        ("write_report", OSError(28, "No space left"), 2),
    ],
)
def test_nothing_is_left_of_a_run_that_breaks_off(
    step, error, code, has_result, data, tmp_path, monkeypatch
):
    def write_some(folder, *arguments):
        if step == "write_report":
            (folder / "features.csv").write_text("half")
        raise error

    out, whole = tmp_path / "out", []
    if has_result:
        out.mkdir()
        (out / "features.csv").write_text("whole")
        whole = [out, out / "features.csv"]
    monkeypatch.setattr(_select, step, write_some)
    assert select(data, "--eta", "1", "--out", out, "--overwrite") == code
    assert list(tmp_path.rglob("*")) == whole
    assert [path.read_text() for path in whole[1:]] == ["whole"] * has_result


@pytest.mark.parametrize("changed", ["table.csv", "labels.csv", "groups.csv"])
def test_file_that_changes_while_it_is_read(changed, tmp_path, monkeypatch, capsys):
    """The report would have the digest of other data than its numbers."""
    table, labels, groups = (
        tmp_path / name for name in ("table.csv", "labels.csv", "groups.csv")
    )
    frame = make_frame().rename_axis("id")
    frame[["kind"]].to_csv(labels)
    frame.drop(columns="kind").to_csv(table)
    groups.write_text("feature,group\ngene0,a\ngene1,a\n")
    arguments = ["--labels", labels, "--index", "id", "--feature-groups", groups]
    read = _inputs.read_inputs

    def read_and_change(*given):
        inputs = read(*given)
        with (tmp_path / changed).open("a") as file:
            file.write("\n")
        return inputs

    monkeypatch.setattr(_inputs, "read_inputs", read_and_change)
    out = tmp_path / "out"
    assert select(table, *arguments, "--eta", 1, "--out", out) == 2
    assert "has changed while it was read: begin again" in capsys.readouterr().err
    assert not out.exists()


def test_traceback_is_shown_when_asked(tmp_path, monkeypatch, capsys):
    arguments = ["info", str(tmp_path / "none.skops")]
    assert main(arguments) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert main([*arguments, "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err
    monkeypatch.setenv("SKPROJ_TRACEBACK", "1")
    assert main(arguments) == 2
    assert "Traceback" in capsys.readouterr().err


def test_errors_of_the_program_itself_have_another_code(data, monkeypatch, capsys):
    def fail(*arguments, **options):
        raise AssertionError("a slip")

    monkeypatch.setattr(_select, "select", fail)
    assert select(data) == 1
    assert "AssertionError: a slip" in capsys.readouterr().err


def test_arguments_that_are_needed(capsys):
    assert main(["select", "t.csv"]) == 2
    assert "error: the following arguments are required: --target" in (
        capsys.readouterr().err
    )


VALUES = {
    "--fdr": ("a number between 0 and 1", ["0", "1.5", "few"]),
    "--repeat": ("a whole number of at least 1", ["0", "-1", "1.5", "all"]),
    "--memory": ("a size such as 2GB", ["", "2", "GB", "-2GB", "2 GB!", "nan GB"]),
    "--where": (
        "a column, one of = != < <= > >=, and a value",
        ["x", "=", "= 3", "", "!= a", "x !== 3", "x =< 3", "x<>3"],
    ),
    "--na": ("of numbers, write blanks between them", ["7,8,9", "ND,7,8"]),
    "--na-below": ("an entry such as '<90'", ["90", "ND", "<ND", ">5", "<-5"]),
}


@pytest.mark.parametrize("option", VALUES)
def test_values_of_options_that_are_refused(option, capsys):
    wanted, texts = VALUES[option]
    for text in texts:
        assert select("none.csv", f"{option}={text}") == 2
        error = capsys.readouterr().err.splitlines()[0]
        assert re.match(
            rf"skproj: error: {option}: (must be )?{re.escape(wanted)}", error
        )


@pytest.mark.parametrize("command", ["select", "apply", "info", "datasets"])
def test_help_has_examples(command, capsys):
    assert main([command, "--help"]) == 0
    printed = capsys.readouterr().out
    assert f"  skproj {command}" in printed.partition("examples:")[2]
    assert max(map(len, printed.splitlines())) <= 88


def test_module_runs_and_shows_versions():
    done = subprocess.run(
        [sys.executable, "-m", "skproj", "info"], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert re.search(rf"^skproj +{re.escape(skproj.__version__)}$", done.stdout, re.M)
    assert re.search(r"^OpenMP threads +\d+", done.stdout, re.M)


@pytest.mark.parametrize(("size", "advice"), [(1e-300, "multiply"), (1e40, "divide")])
def test_units_of_the_target_that_leave_no_room(size, advice, tmp_path, capsys):
    path = tmp_path / "table.csv"
    change(y=size * make_frame()["gene0"]).drop(columns="kind").to_csv(path)
    assert select(path, target="y") == 2
    assert f"; {advice} it by a constant, so that" in capsys.readouterr().err
