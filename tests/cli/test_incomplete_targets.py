"""skproj select: rows without a target are left out, however the table is read."""

import numpy as np
import pytest
from cli_helpers import N_ROWS, make_frame, select, write

WITHOUT = np.arange(0, N_ROWS, 11)
ROWS = np.setdiff1d(np.arange(N_ROWS), WITHOUT)
SAYS = f"has {len(WITHOUT)} of {N_ROWS} rows without 'kind'; they are left out"

pytestmark = pytest.mark.filterwarnings("default:.* they are left out")


def with_gaps(frame, missing=None):
    return frame.assign(
        kind=frame["kind"].astype(object).mask(~frame.index.isin(ROWS), missing)
    )


@pytest.mark.filterwarnings("ignore:Observation names are not unique")
@pytest.mark.parametrize(
    ("suffix", "arguments"),
    [
        (".csv", []),
        (".xlsx", []),
        (".parquet", []),
        (".h5ad", []),
        (".h5ad", ["--layer", "same"]),
    ],
)
def test_rows_without_a_target_are_left_out(suffix, arguments, tmp_path, capsys):
    """The rest is as if they had not been in the table, and is not shifted."""
    frame = make_frame()
    names = [f"cell{i % 7}" for i in frame.index]  # not unique
    names = names if suffix == ".h5ad" else frame.index
    path = write(with_gaps(frame).set_axis(names), tmp_path / f"gaps{suffix}")
    assert select(path, *arguments) == 0
    told = capsys.readouterr()
    assert told.err.count(SAYS) == 1
    assert f"{len(ROWS)} rows, 8 features" in told.out
    path = write(frame.set_axis(names).iloc[ROWS], tmp_path / f"complete{suffix}")
    assert select(path, *arguments) == 0
    complete = capsys.readouterr()
    assert "left out" not in complete.err
    assert told.out.replace("gaps", "complete") == complete.out


@pytest.mark.parametrize("dtype", ["string", "Int64", "category", "boolean", object])
def test_missing_value_of_pandas(dtype, tmp_path, capsys):
    frame = make_frame(n_classes=2)
    kind = (frame["kind"] == "red").astype(int)
    if dtype in ("string", "category", object):
        kind = frame["kind"]
    frame["kind"] = kind.astype(dtype).mask(~frame.index.isin(ROWS))
    path = tmp_path / "table.parquet"
    frame.to_parquet(path)
    assert select(path) == 0
    told = capsys.readouterr()
    assert SAYS in told.err
    assert "classification, 2 classes" in told.out


def test_labels_that_are_numbers_stay_whole(capsys):
    """A gap makes pandas read 1 as 1.0."""
    frame = make_frame()
    frame["kind"] = frame["kind"].map({"red": 1, "green": 2, "blue": 3})
    assert select(with_gaps(frame)) == 0
    assert "3 classes of 27 to 27 rows: 1, 2, 3" in capsys.readouterr().out


def test_labels_of_another_table(tmp_path, capsys):
    """Those that it lacks are told from those that are missing in it."""
    frame = make_frame().set_axis([f"s{i}" for i in range(N_ROWS)]).rename_axis("id")
    labels = with_gaps(make_frame())[["kind"]].set_index(frame.index).iloc[:80]
    frame.drop(columns="kind").to_csv(tmp_path / "table.csv")
    labels.to_csv(tmp_path / "labels.csv")
    arguments = ["--labels", tmp_path / "labels.csv", "--index", "id"]
    assert select(tmp_path / "table.csv", *arguments) == 0
    told = capsys.readouterr()
    assert "10 of 90 rows that are not in" in told.err
    assert "8 of 80 rows without 'kind'; they are left out" in told.err
    assert "72 rows, 8 features" in told.out


def test_times_and_events(capsys):
    """A row needs both."""
    rng = np.random.default_rng(0)
    frame = make_frame().drop(columns="kind")
    frame["time"] = rng.exponential(np.exp(-frame["gene0"])).round(3) + 0.1
    frame["died"] = (rng.random(N_ROWS) < 0.8).astype(int)
    frame.loc[::20, "time"] = np.nan
    frame.loc[5::20, "died"] = np.nan
    assert select(frame, "--event", "died", target="time") == 0
    told = capsys.readouterr()
    assert "has 10 of 90 rows without 'time', 'died'; they are left" in told.err
    assert "80 rows, 8 features" in told.out


def test_missing_group_is_no_group(capsys):
    """Whose the row is, is not known: it could be on both sides of a split."""
    frame = make_frame().assign(owner=np.arange(N_ROWS) // 3)
    frame.loc[3, "owner"] = np.nan
    assert select(frame, "--groups", "owner") == 2
    assert "'owner' of --groups is missing in 1 of 90 rows" in capsys.readouterr().err
