"""The option --fdr of ``skproj select``: q-values, and how many features are false."""

import json

import numpy as np
import pandas as pd
from cli_helpers import run

from skproj.cli._selection import describe_discoveries


def make_table(path, informative):
    """Write a table whose target depends on as many columns, and on a category."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((240, 20))
    kind = rng.integers(0, 3, 240)
    total = 2.0 * X[:, :informative].sum(axis=1) + rng.logistic(size=240)
    frame = pd.DataFrame(X, columns=[f"x{j}" for j in range(20)])
    frame["kind"] = np.array(["a", "b", "c"])[kind]
    frame["y"] = np.where(total > 0.0, "high", "low")
    frame.to_csv(path, index=False)


def select(folder, *arguments):
    out = folder / "out"
    options = ["--target", "y", "--method", "selector", "--encode", "onehot"]
    assert run("select", folder / "data.csv", *options, "--out", out, *arguments) == 0
    return out


def test_q_values_and_the_number_of_false_ones(tmp_path, capsys):
    """They are in the table, on the page, in the report and in the terminal."""
    make_table(tmp_path / "data.csv", 6)
    out = select(tmp_path, "--fdr", "0.2")
    rows = pd.read_csv(out / "features.csv").set_index("feature")
    informative = [f"x{j}" for j in range(6)]
    assert (rows["q_value"] <= 1.0).all()
    assert (rows.loc[informative, "q_value"] <= 0.2).all()
    assert (rows.drop(index=informative)["q_value"] <= 0.2).sum() <= 3
    sentence = json.loads((out / "report.json").read_text())["false_discoveries"]
    assert "with a q-value of at most 0.2" in sentence
    assert sentence in (out / "report.html").read_text()
    assert sentence in capsys.readouterr().out
    features = json.loads((out / "features.json").read_text())
    assert "q_value" in json.dumps(features)


def test_nothing_is_trusted_in_noise(tmp_path, capsys):
    make_table(tmp_path / "data.csv", 0)
    select(tmp_path, "--fdr", "--eta", "1")  # a search selects nothing
    assert "No feature can be trusted at a false discovery rate of 0.1" in (
        capsys.readouterr().out
    )


def test_without_the_option_nothing_is_said(tmp_path, capsys):
    """With groups, the rate is not known, and it is said why."""
    make_table(tmp_path / "data.csv", 6)
    out = select(tmp_path)
    assert "q_value" not in pd.read_csv(out / "features.csv")
    assert "q-value" not in (out / "report.html").read_text()
    frame = pd.read_csv(tmp_path / "data.csv")
    frame.assign(person=np.arange(240) // 2).to_csv(tmp_path / "data.csv", index=False)
    select(tmp_path, "--groups", "person", "--fdr", "--overwrite")
    assert "false discoveries is not known: fdr needs independent samples" in (
        " ".join(capsys.readouterr().out.split())
    )


def test_sentences_on_the_number_of_false_ones():
    trusted, support = np.arange(6) < 3, np.arange(6) > 0
    assert describe_discoveries(0.1, trusted, support, 0.25) == (
        "Of 3 features with a q-value of at most 0.1, about 0.2 are expected to be "
        "false. 2 of the 5 selected features are among them; 3 cannot be trusted alone."
    )
    none = describe_discoveries(0.1, np.zeros(6, dtype=bool), support, 0.0)
    assert none.startswith("No feature can be trusted at a false discovery rate of 0.1")
