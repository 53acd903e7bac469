"""Tables as they are found: separators, encodings, comments, sheets, transposed."""

import numpy as np
import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cli_helpers import make_frame

from skproj.cli._checks import require
from skproj.cli._errors import CommandError
from skproj.cli._frame_table import as_text
from skproj.cli._tables import ReadOptions, read_table

FEATURES = [f"gene{j}" for j in range(8)]


def read(path, **options):
    return read_table(ReadOptions(path, target="kind", **options))


def check(table, frame=None):
    """Compare a table with the frame that was written."""
    frame = make_frame() if frame is None else frame
    names = table.feature_names("kind", [])
    assert sorted(names) == FEATURES
    np.testing.assert_allclose(
        table.numbers(FEATURES), frame[FEATURES].to_numpy(), atol=1e-9
    )
    assert table.labels("kind").tolist() == frame["kind"].tolist()


WRITTEN = {
    "semicolons.csv": {"sep": ";", "decimal": ","},
    "tabs.txt": {"sep": "\t"},
    "tabs.csv": {"sep": "\t"},
    "commas.tsv": {"sep": ","},
    "bars.csv.gz": {"sep": "|"},
    "utf16.csv": {"encoding": "utf-16"},
    "mark.csv": {"encoding": "utf-8-sig"},
}


@pytest.mark.parametrize("name", WRITTEN)
def test_format_is_recognised(name, tmp_path):
    make_frame().to_csv(tmp_path / name, index=False, **WRITTEN[name])
    check(read(tmp_path / name))


def test_format_can_be_said(tmp_path):
    path = tmp_path / "table.csv"
    frame = make_frame().rename(columns={"kind": "kínd"})
    frame.to_csv(path, index=False, sep="~", decimal=",", encoding="cp1250")
    options = {"separator": "~", "decimal": ",", "encoding": "cp1250"}
    table = read_table(ReadOptions(path, target="kínd", **options))
    assert table.feature_names("kínd", []) == FEATURES


def test_other_encodings_are_named(tmp_path):
    path = tmp_path / "table.csv"
    frame = make_frame().assign(kind=lambda f: f["kind"] + "é")
    frame.to_csv(path, index=False, encoding="latin-1")
    with pytest.warns(UserWarning, match="not in UTF-8 and was read as Latin-1"):
        check(read(path), frame)
    path.write_bytes(frame.to_csv(index=False).encode("utf-16-le"))
    with pytest.raises(CommandError, match="--encoding utf-16-le"):
        read(path)
    with pytest.raises(CommandError, match="--encoding names another"):
        read(path, encoding="ascii")


def test_comments_before_the_header(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("# made by, a machine\n\n#\n" + make_frame().to_csv(index=False))
    check(read(path))


def test_names_in_quotes_may_have_separators(tmp_path):
    path = tmp_path / "table.csv"
    frame = make_frame().rename(columns={"gene0": "a;b;c", "gene1": "x;y"})
    frame.to_csv(path, index=False)
    assert read(path).feature_names("kind", [])[:2] == ["a;b;c", "x;y"]


def test_sheets(tmp_path):
    path = tmp_path / "book.xlsx"
    with pd.ExcelWriter(path) as book:
        make_frame().assign(gene0=0.0).to_excel(book, sheet_name="old", index=False)
        make_frame().to_excel(book, sheet_name="new", index=False)
    check(read(path, sheet="new"))
    with pytest.warns(UserWarning, match="'old' was read, and not 'new'; --sheet"):
        check(read(path), make_frame().assign(gene0=0.0))
    with pytest.raises(CommandError, match="no sheet 'now'; there are 'old', 'new'"):
        read(path, sheet="now")
    with pytest.raises(CommandError, match="--sep is for files of text"):
        read(path, separator=";")


@pytest.mark.parametrize("place", [0, 1, 3])
def test_titles_of_sheets(place, tmp_path):
    path = tmp_path / "book.xlsx"
    make_frame().to_excel(path, index=False, startrow=2)
    book = openpyxl.load_workbook(path)
    book.active.cell(1, place + 1).value = "Results"
    book.save(path)
    with pytest.warns(UserWarning, match="1 lines above the header .* 'Results'"):
        check(read(path))
    book.active.cell(1, 6).value = "of 2024"
    book.save(path)
    with pytest.raises(CommandError, match=r"without a name.* lines above the header"):
        read(path)


@pytest.mark.parametrize("kind", ["csv", "semicolons", "xlsx", "parquet"])
def test_a_row_for_each_feature(kind, tmp_path):
    frame = make_frame()
    frame.index = [f"s{i}" for i in range(len(frame))]
    table, path = frame.drop(columns="kind").T, tmp_path / f"table.{kind}"
    if kind == "semicolons":
        path = tmp_path / "table.csv"
        table.to_csv(path, sep=";", decimal=",")
    elif kind == "csv":
        table = frame.T.rename_axis("gene")  # the labels are a row
        table.to_csv(path)
    elif kind == "xlsx":
        table.to_excel(path)
    else:
        table.to_parquet(path)
    labels = tmp_path / "labels.csv"
    frame[["kind"]].iloc[::-1].to_csv(labels)
    options = {} if kind == "csv" else {"labels": labels}
    check(read(path, transpose=True, **options))


def test_transposed_tables_get_a_hint(tmp_path):
    frame = make_frame()
    frame.index = [f"s{i}" for i in range(len(frame))]
    path = tmp_path / "genes.csv"
    frame.iloc[:3].T.to_csv(path)
    with pytest.raises(CommandError, match="a row of that name: --transpose"):
        read(path).feature_names("kind", [])
    frame.iloc[:3, :-1].T.rename_axis("gene").to_csv(path)
    with pytest.raises(CommandError, match="a row for each feature: --transpose"):
        read(path).feature_names("kind", [])
    # But a name that is spelled otherwise is no hint at it.
    codes = frame["kind"].eq("red").astype(int)
    frame[["gene0", "gene1"]].assign(Kind=codes).to_csv(path)
    with pytest.raises(CommandError, match=r"no column 'kind'.*mean 'Kind'"):
        read(path).feature_names("kind", [])


@pytest.mark.parametrize("name", ["table.csv", "table.tsv"])
def test_compressed_tables_without_the_suffix(name, tmp_path):
    path = tmp_path / name
    make_frame().to_csv(path, index=False, compression="gzip")
    check(read(path))
    make_frame().to_excel(tmp_path / "table.xlsx", index=False)
    (tmp_path / "table.xlsx").rename(path)
    with pytest.raises(CommandError, match="seems to be a workbook; save it as"):
        read(path)


def test_labels_of_another_table(tmp_path):
    frame = make_frame()
    frame.insert(0, "sample", [f"s{i}" for i in range(len(frame))])
    path, labels = tmp_path / "table.csv", tmp_path / "labels.tsv"
    frame.drop(columns="kind").to_csv(path, index=False)
    codes = frame["kind"].map({"red": "01", "green": "1", "blue": "1"})
    known = pd.DataFrame({"kind": codes, "name": frame["sample"]}).iloc[5:]
    known[["name", "kind"]].to_csv(labels, index=False, sep="\t")
    with pytest.warns(UserWarning, match="5 of 90 rows that are not in .*left out"):
        table = read(path, labels=labels, index="sample")
    check(table, frame.assign(kind=codes).iloc[5:])
    with pytest.raises(CommandError, match="no names of rows to find"):
        read(path, labels=labels)
    known.assign(name="x" + known["name"]).set_index("name").to_csv(labels, sep="\t")
    with pytest.raises(CommandError, match="no names of rows in common"):
        read(path, labels=labels, index="sample")


def test_missing_columns_are_guessed_among_very_many():
    names = [f"gene_{j}" for j in range(100_000)]
    with pytest.raises(CommandError, match="did you mean 'gene_2'"):
        require(["gene2"], names, "table.csv", "column")


@pytest.mark.parametrize("name", ["semicolons.csv", "tabs.txt", "bars.csv.gz"])
def test_names_of_rows_and_labels_are_read_as_they_are_written(name, tmp_path):
    frame = make_frame()
    frame["kind"] = frame["kind"].map({"red": "01", "green": "1", "blue": "NA"})
    frame.index = [f"{i:03}" for i in range(len(frame))]
    frame.loc["003", "gene4"] = np.nan
    frame.to_csv(tmp_path / name, **WRITTEN[name])
    table = read(tmp_path / name)
    assert table.row_names.tolist() == frame.index.tolist()
    assert table.row_label == "row"
    numbers = table.numbers(FEATURES, allow_missing=True)
    np.testing.assert_array_equal(numbers, frame[FEATURES])
    assert table.labels("kind").fillna("NA").tolist() == frame["kind"].tolist()


GAPS = [" NA", "NA ", "  ", "\tn/a", "-nan"]


@pytest.mark.parametrize("name", ["gaps.csv", "gaps.tsv", "gaps.xlsx"])
@pytest.mark.parametrize("transpose", [False, True])
def test_missing_values_with_spaces(name, transpose, tmp_path):
    """They are missing, also among numbers and in columns of text."""
    frame = make_frame().astype(object)
    frame.index = [f"s{i}" for i in range(len(frame))]
    expected = frame.copy()
    gaps = [gap for gap in GAPS if "\t" not in gap or name != "gaps.tsv"]
    for i, gap in enumerate(gaps):
        for j in (2, -1):
            frame.iloc[3 * i, j], expected.iloc[3 * i, j] = gap, np.nan
    written = frame.T.rename_axis("name") if transpose else frame
    if name.endswith("xlsx"):
        written.to_excel(tmp_path / name)
    else:
        written.to_csv(tmp_path / name, sep="\t" if name.endswith("tsv") else ",")
    table = read(tmp_path / name, transpose=transpose)
    numbers = table.numbers(FEATURES, allow_missing=True)
    np.testing.assert_allclose(numbers, expected[FEATURES].astype(float), atol=1e-9)
    assert np.isnan(numbers).sum() == len(gaps)
    assert table.labels("kind").isna().sum() == len(gaps)
    assert table.labels("kind").equals(expected["kind"])


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_truth_values_with_gaps_are_missing_numbers(suffix, tmp_path):
    frame = make_frame()
    frame["gene2"] = (frame["gene2"] > 0).astype(object)
    path = tmp_path / f"table.{suffix}"
    frame.loc[[1, 7], "gene2"] = None
    getattr(frame, f"to_{suffix}")(path, index=False)
    with pytest.raises(CommandError, match=r"missing values, 2 in 1 of 8 .*'gene2'"):
        read(path).numbers(FEATURES)
    numbers = read(path).numbers(FEATURES, allow_missing=True)
    np.testing.assert_array_equal(numbers[:, 2], frame["gene2"].astype(float))
    frame["gene2"] = None
    getattr(frame, f"to_{suffix}")(path, index=False)
    assert read(path).text_columns(FEATURES) in (["gene2"], [])  # nothing to tell from


@pytest.mark.parametrize("dtype", ["Int64", "float64"])
def test_whole_numbers_with_gaps_in_parquet(dtype, tmp_path):
    """As names and categories they are 1 and not 1.0, as in text."""
    frame = make_frame().assign(batch=pd.array([1, None, 3] * 30, dtype="Int64"))
    frame.index = pd.Index(frame["batch"].fillna(0), name="number")
    path = tmp_path / "table.parquet"
    schema = pa.Schema.from_pandas(frame)
    if dtype == "float64":
        schema = schema.remove_metadata()  # as other programs write it
    pq.write_table(pa.Table.from_pandas(frame).cast(schema), path)
    for options in ({"text": ("batch",)}, {"groups": "batch"}):
        column = read(path, **options).target("batch")
        assert as_text(column).tolist() == ["1", "nan", "3"] * 30
        assert column.isna().sum() == 30
    numbers = read(path).numbers(["batch"], allow_missing=True)
    np.testing.assert_array_equal(numbers[:3, 0], [1.0, np.nan, 3.0])


@pytest.mark.slow
@pytest.mark.parametrize("separator", [",", "\t"])
def test_very_wide_tables(separator, tmp_path):
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(4, 100_000)).round(4)
    path = tmp_path / "wide.csv"
    with open(path, "w") as file:
        file.write(separator.join([*(f"g{j}" for j in range(100_000)), "kind"]) + "\n")
        for i, row in enumerate(numbers):
            file.write(separator.join([*row.astype(str), "ab"[i % 2]]) + "\n")
    table = read(path)
    names = table.feature_names("kind", [])
    np.testing.assert_array_equal(table.numbers(names), numbers)
