"""Columns that give the target away, and rows that are not independent."""

import shlex

import numpy as np
import pandas as pd
import pytest
from cli_helpers import (
    N_ROWS,
    make_frame,
    read_features,
    select,
    selected,
    selection_of,
)

from skproj.cli._suspects import count_equal_rows, suspect_columns


def run(frame, capsys, *arguments):
    assert select(frame, *arguments) == 0
    return capsys.readouterr().out


CODES = make_frame()["kind"].map({"red": 0, "green": 1, "blue": 2})
LEAKS = {
    "number": (np.arange(N_ROWS), "as a running number"),
    "id": (np.random.default_rng(0).permutation(N_ROWS) + 1000, "as an id"),
    "code": (CODES, "nearly a copy of the target"),
    "measured": (
        CODES + np.random.default_rng(1).normal(scale=0.02, size=N_ROWS),
        "nearly a copy of the target",
    ),
}


@pytest.mark.parametrize("name", LEAKS)
def test_leaks_are_named_and_left_out_when_asked(name, tmp_path, capsys):
    values, reason = LEAKS[name]
    frame = make_frame().sample(frac=1.0, random_state=1)
    frame[name] = np.asarray(values) if name in ("number", "id") else values
    printed = run(frame, capsys)
    assert f"Suspected leaks, which --drop-suspects leaves out: {name!r}" in printed
    assert reason in printed
    out = tmp_path / "out"
    printed = run(frame, capsys, "--drop-suspects", "--out", out)
    assert f"Suspected leaks were left out: {name!r}." in printed
    assert name not in {row["feature"] for row in read_features(out)}
    assert {"gene0", "gene1"} <= selected(out)


def test_target_of_numbers_with_a_copy():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4))
    y = 3.0 * X[:, 0] + rng.normal(size=60)
    X[:, 2] = np.exp(y)
    found = suspect_columns(X, y, list("abcd"), classifies=False)
    assert found == {"c": "is nearly a copy of the target"}


def test_columns_that_predict_well_are_not_suspects():
    frame = make_frame()
    X = frame.drop(columns="kind").to_numpy()
    y = frame["kind"].to_numpy(str)
    X[:, 7] = np.random.default_rng(0).poisson(5, size=N_ROWS)
    assert suspect_columns(X, y, list("abcdefgh"), classifies=True) == {}


def test_sorted_and_equal_rows_are_pointed_out(capsys):
    frame = make_frame()
    assert "sorted by class" not in run(frame, capsys)
    printed = run(pd.concat([frame, frame.iloc[:4]]).sort_values("kind"), capsys)
    assert "The rows are sorted by class" in printed
    assert "4 rows are equal to an earlier row" in printed


def test_equal_rows_of_few_columns_are_chance():
    assert count_equal_rows(np.zeros((10, 2))) == 0
    assert count_equal_rows(np.zeros((10, 6))) == 9


def test_repeated_owners_ask_for_groups(capsys):
    frame = make_frame().assign(patient=[f"p{i // 6}" for i in range(N_ROWS)])
    printed = run(frame, capsys, "--drop", "patient")
    assert "--groups patient keeps them on one side" in printed
    assert "The names of the rows repeat: 15 names for 90 rows" in run(
        frame, capsys, "--id", "patient"
    )
    assert "--groups" not in run(frame, capsys, "--groups", "patient")


@pytest.mark.parametrize(("n_owners", "folds"), [(7, ""), (3, " --cv 2")])
def test_groups_that_are_suggested_work(n_owners, folds, capsys):
    """The option is typed as it is, also for names with spaces."""
    frame = make_frame().assign(**{"Patient ID": np.arange(N_ROWS) // 3 % n_owners})
    drop = ["--drop", "Patient ID", "--eta", 1, "--cv", 5]
    printed = run(frame, capsys, *drop)
    suggested = f"--groups 'Patient ID'{folds} keeps them on one side"
    assert suggested in printed
    arguments = shlex.split(suggested.partition(" keeps")[0])
    assert "Several rows share" not in run(frame, capsys, *drop, *arguments)
    named = run(frame, capsys, "--index", "Patient ID", "--eta", 1)
    assert "--groups 'Patient ID' in place of --index keeps them" in named


def make_counts(**changes):
    rng = np.random.default_rng(0)
    counts = rng.negative_binomial(3, 3.0 / (3.0 + 20.0), size=(N_ROWS, 12))
    frame = pd.DataFrame(counts, columns=[f"gene{j}" for j in range(12)])
    return frame.assign(kind=make_frame()["kind"], **changes)


def test_raw_counts_are_named(capsys):
    printed = run(make_counts(), capsys, "--eta", "1")
    assert "The features look like raw counts: whole numbers up to " in printed
    assert "bring the rows to the same total and take logarithms first" in printed


@pytest.mark.parametrize(
    "frame",
    [
        make_counts(gene3=np.linspace(0.0, 3.0, N_ROWS)),
        make_counts(gene3=-1),
        make_counts()[["gene0", "gene1", "gene2", "kind"]],
        make_counts().set_index("kind").clip(upper=20).reset_index(),
        make_frame(),
    ],
    ids=["fractions", "negative", "few columns", "codes", "measured"],
)
def test_other_numbers_are_no_raw_counts(frame, capsys):
    assert "raw counts" not in run(frame, capsys, "--eta", "1")


@pytest.mark.parametrize("code", [-999, 9999, -9])
def test_codes_of_missing_values(code, tmp_path):
    """They are far from all others; a number among others is none."""
    frame = make_frame().assign(age=np.arange(N_ROWS) % 70 + 935, other=-9.0)
    frame["gene3"] = frame["gene3"].abs()
    frame.loc[[4, 9], "gene3"] = code
    said = [s for s in selection_of(frame, tmp_path).warnings if "missing" in s]
    assert len(said) == 1
    assert said[0].startswith(f"{code} is far from all other numbers of 'gene3'. If")
    assert (f"--na={code}" if code < 0 else f"--na {code}") in said[0]
