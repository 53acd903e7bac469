"""Rows that --where asks for, events by their value, and columns that say no number."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from cli_helpers import make_frame, read_features, select, selection_of, write

from skproj.cli._arguments import condition, texts
from skproj.cli._rows import holds

pytestmark = pytest.mark.filterwarnings("default:.* leaves out ")

OPTIONS = SimpleNamespace(path="table", missing=("ND",))
COLUMN = pd.Series(["QC", "a b", None, "7", "7.0", "12"], dtype=object)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("x = QC", [0]),
        ("x==QC", [0]),
        ("x != QC", [1, 2, 3, 4, 5]),
        ("x=a b", [1]),
        ("x == 7", [3, 4]),
        ("x!=7.00", [0, 1, 2, 5]),
        ("x != NA", [0, 1, 3, 4, 5]),
        ("x!=ND", [0, 1, 3, 4, 5]),
        ("x =", [2]),
    ],
)
def test_conditions_on_entries(text, rows):
    assert np.flatnonzero(holds(condition(text), COLUMN, OPTIONS)).tolist() == rows


@pytest.mark.parametrize(
    ("text", "rows"),
    [("x<12", [0, 1]), ("x <= 12", [0, 1, 2]), ("x > 7", [2]), ("x>=7", [0, 1, 2])],
)
def test_conditions_on_numbers(text, rows):
    for column in (COLUMN[3:], COLUMN[3:].astype(float)):
        column = pd.concat([column, pd.Series([None], dtype=object)])
        assert np.flatnonzero(holds(condition(text), column, OPTIONS)).tolist() == rows


def test_conditions_on_truth_values():
    column = pd.Series([True, False, True])
    for text in ("x = TRUE", "x=true", "x != false"):
        assert holds(condition(text), column, OPTIONS).tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("text", "column", "sign", "value"),
    [
        ("a=b = c", "a=b", "=", "c"),
        ("a<b >= 3", "a<b", ">=", "3"),
        ("a = <3> ", "a", "=", "<3>"),
        ("a = b = c", "a", "=", "b = c"),
    ],
)
def test_signs_in_names(text, column, sign, value):
    assert condition(text)[1:] == (column, sign, value)


@pytest.mark.parametrize(
    ("entries", "text", "n_rows"),
    [
        (["1,500", "2,25"], "x < 1,6", 45),
        (["1,500", "2,750"], "x < 2", 45),
        (["1,500", "2,750"], "x = 1.5", 45),
        (["1.500", "2.750"], "x < 2000", 45),
        (["1.500", "9,5"], "x > 1.000", 45),
    ],
)
@pytest.mark.filterwarnings("default:.*thousands marks")
def test_conditions_on_numbers_with_commas(entries, text, n_rows, tmp_path, capsys):
    frame = make_frame().assign(x=entries * 45)
    path = tmp_path / "table.csv"
    frame.to_csv(path, index=False, sep=";", decimal=",")
    assert select(path, "--eta", 1, "--where", text) == 0
    assert f"{n_rows} rows, " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("color = red", "has no column 'color'"),
        (
            "kind = pink",
            "has no row with --where 'kind = pink'; the column 'kind' has ",
        ),
        ("kind < 3", "--where 'kind < 3' compares numbers, and 'red' is none"),
        ("gene0 < low", "--where 'gene0 < low' compares numbers, and 'low' is none"),
    ],
)
def test_conditions_that_do_not_suit_the_table(text, message, capsys):
    assert select(make_frame(), "--where", text) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("suffix", [".csv", ".xlsx", ".parquet", ".h5ad", "backed"])
def test_rows_are_those_that_were_asked_for(suffix, tmp_path, capsys):
    frame = make_frame().assign(batch=np.repeat([1, 2, 3], 30), site=["x", "y"] * 45)
    path, options = tmp_path / f"table{suffix}", ["--eta", 1, "--where", "batch != 3"]
    if suffix == "backed":
        path, options = path.with_suffix(".parquet"), [*options, "--backed"]
    more = [] if suffix == ".h5ad" else ["--drop", "site", "batch"]
    assert select(write(frame, path), *options, *more, "--where", "site = x") == 0
    told = capsys.readouterr()
    assert "30 rows, 8 features" in told.out
    asked = "'batch != 3' and 'site = x'"
    assert f"--where {asked} leaves out 60 of 90 rows" in told.err


def test_conditions_on_the_labels_file(tmp_path, capsys):
    frame = make_frame().rename_axis("id").reset_index()
    labels = frame[["id", "kind"]].assign(run=np.arange(90) % 2)
    labels.to_csv(tmp_path / "labels.csv", index=False)
    options = ["--index", "id", "--labels", tmp_path / "labels.csv", "--eta", 1]
    assert select(frame.drop(columns="kind"), *options, "--where", "run=1") == 0
    assert "45 rows, 8 features" in capsys.readouterr().out


def test_a_condition_is_a_setting_of_the_report(tmp_path):
    frame = make_frame().assign(batch=np.arange(90) % 3)
    where = ["--where", "batch < 2", "--where", "gene0 > -9"]
    out = ["--out", tmp_path / "out", "--eta", 1]
    assert select(frame, *where, *out) == 0
    report = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert "batch &lt; 2, gene0 &gt; -9" in report


def test_a_column_of_text_in_a_condition_is_no_feature(tmp_path):
    frame = make_frame().assign(Group=["QC", "sample", "sample"] * 30)
    found = selection_of(frame, tmp_path, "--where", "Group = sample", "--eta", 1)
    assert list(found.names) == [f"gene{j}" for j in range(8)]
    assert found.n_train + found.n_test == 60


# ---------------------------------------------------------------------------
# Events


def trial():
    rng = np.random.default_rng(0)
    frame = make_frame().drop(columns="kind")
    times = rng.exponential(np.exp(-frame["gene0"] / 4.0))
    return frame.assign(time=times.round(4) + 0.01, status=["DECEASED", "LIVING"] * 45)


def test_the_value_of_an_event(tmp_path):
    frame = trial().rename(columns={"status": "OS=status"})
    coded = frame.assign(**{"OS=status": 1 - frame.index.to_numpy() % 2})
    options = ["--eta", 1, "--event"]
    found, same = (
        selection_of(table, tmp_path, "--overwrite", *options, event, target="time")
        for table, event in ((frame, "OS=status = DECEASED"), (coded, "OS=status = 1"))
    )
    assert [f.score for f in found.features] == [f.score for f in same.features]


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ("status=DEAD", "never 'DEAD'; it has 'DECEASED', 'LIVING'"),
        ("status", "Of its values 'DECEASED', 'LIVING' one may be the event: --event "),
        ("status=", "--event must be a column, or COLUMN=VALUE"),
        ("=DECEASED", "--event must be a column, or COLUMN=VALUE"),
        ("state=DECEASED", "has no column 'state'"),
    ],
)
def test_events_that_are_refused(event, message, capsys):
    assert select(trial(), "--event", event, target="time") == 2
    assert message in capsys.readouterr().err


# ---------------------------------------------------------------------------
# Columns that are no features


@pytest.mark.filterwarnings("default:.*columns of dates")
@pytest.mark.parametrize("suffix", [".csv", ".xlsx", ".parquet"])
@pytest.mark.parametrize("form", ["%Y-%m-%d", "%d.%m.%y", "%m/%d/%Y %H:%M", None])
def test_dates_are_no_features(suffix, form, tmp_path, capsys):
    days = pd.Series(pd.date_range("2024-01-07", periods=90, freq="40h"))
    days = days if form is None else days.dt.strftime(form)
    frame, path = make_frame().assign(visit=days), tmp_path / f"table{suffix}"
    frame.loc[3, "visit"] = None
    assert select(write(frame, path), "--eta", 1) == 0
    told = capsys.readouterr()
    assert "90 rows, 8 features" in told.out
    assert "columns of dates were left out, 'visit'" in told.err


@pytest.mark.filterwarnings("default:.*columns of dates")
def test_dates_in_a_file_that_is_read_in_blocks(tmp_path, capsys):
    days = pd.date_range("2024-01-07", periods=90)
    path = tmp_path / "table.parquet"
    make_frame().assign(visit=days.date, time=days).to_parquet(path)
    assert select(path, "--eta", 1, "--backed") == 0
    assert "of dates were left out, 'visit', 'time'" in capsys.readouterr().err


def test_half_of_a_negative_limit_is_above_it(capsys):
    frame = make_frame().astype({"gene3": object})
    frame.loc[::9, "gene3"] = "<-5"
    assert select(frame, "--eta", 1, "--na-below", "<") == 2
    told = capsys.readouterr().err
    assert "--na '<-5' reads it as missing" in told
    assert "half of the limit" not in told


@pytest.mark.parametrize("entry", ["2024", "1.5", "12-34", "31.12", "a-b-c", "1.2.3.4"])
def test_other_text_is_no_date(entry, capsys):
    frame = make_frame().assign(code=[entry, "x"] * 45)
    assert select(frame, "--eta", 1) == 2
    assert "'code'" in capsys.readouterr().err


def counts(names):
    """Return a table as pipelines write it: a row and three columns for each gene."""
    frame = make_frame().drop(columns="kind").T
    frame.columns = [f"S{i:02}" for i in range(90)]
    frame.insert(0, "gene_id", [f"ENSG{j:05}" for j in range(8)])
    frame.insert(1, "gene_name", names)
    frame.insert(2, "biotype", "protein_coding")
    return frame


@pytest.mark.filterwarnings("default:.*(describe the features|tells them apart)")
def test_columns_that_describe_features(tmp_path, capsys):
    names = ["TP53", "Y_RNA", "Y_RNA", None, "EGFR", "MYC", "KRAS", "ALK"]
    counts(names).to_csv(tmp_path / "counts.tsv", sep="\t", index=False)
    labels = {"sample": [f"S{i:02}" for i in range(90)], "kind": make_frame()["kind"]}
    pd.DataFrame(labels).to_csv(tmp_path / "labels.csv", index=False)
    options = ["--transpose", "--index", "gene_name", "--labels"]
    options += [tmp_path / "labels.csv", "--eta", 1, "--out", tmp_path / "out"]
    assert select(tmp_path / "counts.tsv", *options) == 0
    told = capsys.readouterr().err
    assert "describe the features were left out, 'gene_id', 'biotype'" in told
    assert "3 names of features repeat or are missing, and 'gene_id' tells" in told
    found = {row["feature"] for row in read_features(tmp_path / "out")}
    distinct = {"Y_RNA (ENSG00001)", "Y_RNA (ENSG00002)", "ENSG00003"}
    assert found == {"TP53", "EGFR", "MYC", "KRAS", "ALK"} | distinct


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ND", ["ND"]),
        ("ND,.,?,#DIV/0!", ["ND", ".", "?", "#DIV/0!"]),
        ("99,999", ["99,999"]),
        ("-9,5", ["-9,5"]),
        ("<0,5", ["<0,5"]),
        ("n.d., -99", ["n.d.", "-99"]),
    ],
)
def test_what_stands_for_missing_values(text, found):
    assert texts(text) == found


def test_the_sign_alone_stands_for_all_limits():
    frame = make_frame().astype({"gene3": object})
    frame.loc[::9, "gene3"] = "<0.4"
    assert select(frame, "--eta", 1, "--na-below", "<") == 0
