"""All that is wrong with a table and its options is said at once, and what helps."""

import re
import shlex

import numpy as np
import pandas as pd
import pytest
from cli_helpers import N_ROWS, make_frame, read_features, select, write

from skproj.cli import main

PREFIX = "skproj: error: "


def sentences(capsys):
    """Return the errors that were printed."""
    lines = capsys.readouterr().err.splitlines()
    assert all(line.startswith(PREFIX) for line in lines)
    return [line.removeprefix(PREFIX) for line in lines]


def assert_all_said(found, expected):
    """Each error is said once, and none besides."""
    assert len(found) == len(set(found)) == len(expected), found
    for part in expected:
        assert sum(part in sentence for sentence in found) == 1, (part, found)


WRONG_NAMES = "--groups missing --drop nothere --always-keep gone --cv 1 --test-size 2"


def test_all_names_and_values_of_options(tmp_path, capsys):
    path = write(make_frame(), tmp_path / "table.csv")
    assert select(path, *WRONG_NAMES.split(), target="typo") == 2
    expected = (
        "--cv: must be a whole number of at least 2, got '1'",
        "--test-size: must be at least 0 and less than 1, got '2'",
        "no column 'typo'",
        "no column 'missing'",
        "no column 'nothere'",
        "no feature 'gone'",
    )
    assert_all_said(sentences(capsys), expected)


def test_all_options_and_files(tmp_path, capsys):
    taken, other = tmp_path / "taken", tmp_path / "none.csv"
    taken.mkdir()
    (taken / "mine.txt").write_text("keep")
    arguments = (
        "--memory 2GB --impute mean --keep-gain nice --eta 0 --seed -1 --n-jobs 0"
    )
    files = ["--labels", other, "--feature-groups", tmp_path / "no.csv", "--out", taken]
    roles = ["--event", "died", "--task", "regression", "--index", "kind"]
    path = tmp_path / "missing.csv"
    assert select(path, *arguments.split(), *files, *roles) == 2
    expected = (
        *("missing.csv does not", "none.csv does not", "no.csv does not exist"),
        *("--memory is for --backed", "is a folder with files in it; --overwrite"),
        "--impute: invalid choice: 'mean'",
        "--keep-gain: must be a number above 0 up to 1, or one-standard-error, got",
        *("--eta: must be", "--seed: must be", "--n-jobs: must be"),
        *("--task regression is not for survival", "is both --index and --target"),
    )
    assert_all_said(sentences(capsys), expected)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["taken"]


def test_all_that_is_wrong_with_the_columns(tmp_path, capsys):
    frame = make_frame().assign(kind="red", note="a b", gene7=np.inf)
    frame.loc[:3, "gene1"] = np.nan
    groups = pd.DataFrame({"feature": ["gene1", "gene99"], "group": "a"})
    path = write(frame, tmp_path / "table.csv")
    names = write(groups, tmp_path / "groups.csv")
    options = ["--feature-groups", names, "--index", "id", "--scoring", "acuracy"]
    assert select(path, *options, "--always-keep", "age") == 2
    expected = (
        *("one class only: 'red'", "no column 'id'", "no feature 'age'"),
        *("no feature 'gene99', which", "missing values, 4 in 1 of 8 columns: 'gene1'"),
        *("infinite values, 90 in 1 of 8 columns: 'gene7'", "no score 'acuracy'"),
    )
    assert_all_said(sentences(capsys), expected)
    # With all names right, text is no feature.
    assert select(path, "--cv", "80") == 2
    expected = (
        *("one class only", "1 of 9 columns that are not numbers: 'note'"),
        *("missing values, 4 in", "infinite values, 90 in"),
    )
    assert_all_said(sentences(capsys), expected)


def test_rows_and_options_that_do_not_suit_the_target(tmp_path, capsys):
    frame = make_frame().assign(y=np.linspace(0, 1, N_ROWS), who=np.arange(N_ROWS) % 3)
    frame = frame.drop(columns="kind")
    path = write(frame.assign(gene1=np.nan), tmp_path / "table.csv")
    options = ["--cv", "60", "--threshold", "f1", "--class-weight", "balanced"]
    options += ["--groups", "who", "--scoring", "f1"]
    assert select(path, *options, target="y") == 2
    expected = (
        *("90 rows only, and 60 folds need 160", "'gene1'; --impute median"),
        *("--threshold is for a target of two classes", "--scoring f1 does not suit"),
        *("--class-weight is for a target of classes", "3 different values, and 60"),
    )
    assert_all_said(sentences(capsys), expected)


def test_all_that_a_model_lacks(result, tmp_path, capsys):
    frame = make_frame().drop(columns="gene0").assign(gene1="many")
    path, model = write(frame, tmp_path / "table.csv"), str(result / "model.skops")
    arguments = ["--index", "id", "--sheet", "1", "--out", str(tmp_path / "out.xlsx")]
    assert main(["apply", model, str(path), *arguments]) == 2
    expected = "--sheet is for .xlsx files", "--out must end in .csv"
    assert_all_said(sentences(capsys), expected)
    assert main(["apply", model, str(path)]) == 2
    assert_all_said(
        sentences(capsys), ("no column 'gene0', which the", "not numbers: 'gene1'")
    )


def texts(*columns):
    return make_frame().assign(**{name: "a b" for name in columns})


ids = [f"r {i}" for i in range(N_ROWS)]
gap = [np.nan, *range(N_ROWS - 1)]
few = ["red"] * 5 + ["blue"] * (N_ROWS - 5)
# A table, options, and how many commands the error suggests.
SUGGESTIONS = {
    "spaces": (texts("Patient ID", "it's"), [], 2),
    "hyphen": (texts("--note", "-x"), [], 2),
    "formula": (texts("$(touch x)", "*", "a;b"), [], 2),
    "index": (texts().assign(**{"my id": ids}), [], 2),
    "not unique": (texts("Sex"), [], 2),
    "gap": (texts().assign(**{"gene 1": gap}), [], 2),
    "infinite": (texts().assign(**{"-gene": np.inf}), [], 1),
    "classes": (texts().assign(kind=few), ["--cv", "9"], 1),
    "held out": (texts().assign(kind=few), ["--cv", "5"], 1),
    "share": (texts(), ["--test-size", "0.02", "--cv", "2"], 1),
    "groups": (
        texts().assign(**{"my batch": np.arange(N_ROWS) % 4}),
        ["--groups", "my batch", "--cv", "9"],
        1,
    ),
    "categories": (texts().assign(**{"my id": ids}), ["--encode", "onehot"], 2),
    "regression": (
        make_frame().assign(kind=np.arange(90) / 4),
        ["--task", "classification"],
        1,
    ),
}


def suggested(sentence):
    """Return the options that a sentence suggests, each as a list of arguments.

    What follows the last semicolon are ways, with "or" between them.
    """
    found = []
    for way in re.split(r"; |, (?=(?:or|and) )", sentence)[1:]:
        way = re.sub(r"^(or|and|use) ", "", way)
        if not way.startswith("-"):
            continue
        words, kept = shlex.split(way), []
        for word in words:
            if word in ("leaves", "makes", "takes", "fills", "names", "works"):
                break
            kept.append(word.rstrip(".,"))
        found.append(kept)
    return found


@pytest.mark.parametrize("name", SUGGESTIONS)
def test_suggested_options_get_past_the_error(name, capsys, monkeypatch):
    """They are typed as they are, and the same error does not come again."""
    frame, options, n_suggested = SUGGESTIONS[name]
    monkeypatch.setattr("skproj.cli._select.run", lambda *arguments: None)
    assert select(frame, *options) == 2
    (sentence,) = sentences(capsys)
    ways = suggested(sentence)
    assert len(ways) == n_suggested, (sentence, ways)
    for way in ways:
        again = [] if "--task" in way else options
        assert select(frame, *again, *way) == 0, (sentence, way)
        capsys.readouterr()


def test_units_of_a_column_make_no_difference(tmp_path):
    """Also where float32 has no squares or no inverse of its numbers."""
    chosen = []
    for scale in (1.0, 1e-42, 1e36):
        frame = make_frame()
        frame["gene0"] *= scale
        out = tmp_path / f"{scale}"
        assert select(frame, "--out", out) == 0
        rows = read_features(out)
        chosen.append({r["feature"]: r["selected"] for r in rows})
    assert all(other == chosen[0] for other in chosen)
    assert chosen[0]["gene0"] == "TRUE"
