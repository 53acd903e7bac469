"""Missing numbers, columns of text, groups, and models that need few columns."""

import numpy as np
import pandas as pd
import pytest
from cli_helpers import (
    N_ROWS,
    apply,
    make_frame,
    read_features,
    select,
    selected,
    write,
)

from skproj import persistence
from skproj.cli import main


def make_gaps():
    frame = make_frame()
    frame.loc[::7, "gene1"] = np.nan
    frame.loc[::9, "gene5"] = np.nan
    frame["sex"] = np.where(np.arange(N_ROWS) % 4 < 2, "f", "m")
    return frame


@pytest.mark.parametrize("impute", ["median", "knn", "indicator"])
def test_gaps_are_filled_within_the_saved_model(impute, tmp_path, capsys):
    path, out = write(make_gaps(), tmp_path / "table.csv"), tmp_path / "out"
    arguments = ["--impute", impute, "--encode", "onehot", "--out", out]
    assert select(path, *arguments) == 0
    printed = capsys.readouterr().out
    assert "Missing numbers, 23 in 2 of " in printed
    assert " columns, were filled in by the me" in printed
    assert "Text was encoded by a column for each value, in: 'sex'." in printed
    names = {row["feature"] for row in read_features(out)}
    assert {"sex_f", "sex_m"} <= names
    assert ("missingindicator_gene1" in names) == (impute == "indicator")
    assert "gene0" in selected(out)

    frame = make_gaps().drop(columns="kind")
    model = persistence.load(out / "model.skops")
    expected = model.predict(frame.astype({n: "float32" for n in frame if n != "sex"}))
    assert (expected == make_frame()["kind"]).mean() > 0.85
    assert apply(out, path)["prediction"].tolist() == expected.tolist()


def test_categories_that_are_selected_are_named(tmp_path, capsys):
    frame = make_frame().assign(
        site=np.array(["north", "south", "west"])[np.arange(N_ROWS) // 3 % 3],
        colour=np.where(make_frame()["kind"] == "blue", "dark", "light"),
    )
    out = tmp_path / "out"
    arguments = [
        "--keep-gain",
        "one-standard-error",
        "--encode",
        "onehot",
        "--out",
        out,
    ]
    assert select(frame, *arguments) == 0
    kept = selected(out)
    assert {"colour_dark", "colour_light"} <= kept
    assert kept.isdisjoint({"site_north", "site_south", "site_west"})
    printed = capsys.readouterr().out
    assert "selected together; their numbers are in brackets: 'colour' (2)." in printed


@pytest.mark.parametrize("kind", ["plain", "imputed"])
def test_apply_needs_the_selected_columns_only(kind, tmp_path, capsys):
    """And looks at no others: they may be missing, text, or without numbers."""
    frame = make_frame() if kind == "plain" else make_gaps()
    path, out = write(frame, tmp_path / "table.csv"), tmp_path / "out"
    options = ["--impute", "median", "--encode", "onehot"] if kind != "plain" else []
    assert select(path, *options, "--eta", "0.3", "--out", out) == 0
    few = tmp_path / "few.csv"
    kept = sorted(selected(out))
    assert set(kept) == {"gene0", "gene1"}
    expected = apply(out, path)
    for other in (frame[kept[::-1]], frame.assign(gene3=np.nan, gene4="text")):
        other.to_csv(few, index=False)
        assert apply(out, few).equals(expected)
    frame[["gene0"]].to_csv(few, index=False)
    assert main(["apply", str(out / "model.skops"), str(few)]) == 2
    assert "no column 'gene1', which the model needs" in capsys.readouterr().err


def test_groups_stay_together(capsys):
    """Fingerprints of patients predict their labels, but not those of others."""
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(16), 6)
    X = rng.normal(size=(16, 30))[patients] + 0.1 * rng.normal(size=(96, 30))
    frame = pd.DataFrame(X, columns=[f"gene{j}" for j in range(30)])
    frame["patient"] = [f"p{i}" for i in patients]
    frame["kind"] = np.where(rng.permutation(16) % 2, "a", "b")[patients]
    assert select(frame, "--drop", "patient") == 0
    assert "The selected features predict 'kind'" in capsys.readouterr().out
    assert select(frame, "--groups", "patient") == 2
    assert "none helps to predict the target" in capsys.readouterr().err
    options = ["--eta", "1", "--stability", 3]
    assert select(frame, "--groups", "patient", *options) == 0
    printed = capsys.readouterr().out
    assert "Nothing predicts 'kind' better than chance" in printed
    assert "96 rows, 30 features" in printed
    assert select(frame, "--groups", "patient", "--cv", 16) == 2
    assert "16 different values, and 16 folds besides" in capsys.readouterr().err


def test_rare_classes_may_count_more(tmp_path, capsys):
    frame = make_frame(n_classes=2).iloc[:60]
    rare = frame[frame["kind"] == "red"].index[8:]
    options = ["--class-weight", "balanced", "--scoring", "balanced_accuracy"]
    assert select(frame.drop(rare), *options, "--out", tmp_path / "out") == 0
    printed = capsys.readouterr().out
    assert "cross-validated balanced_accuracy" in printed
    model = persistence.load(tmp_path / "out" / "model.skops")
    assert model["predict"].class_weight == model["select"].class_weight == "balanced"
