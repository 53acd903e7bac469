"""Tables as people write them: the numbers that a person reads, or one sentence.

Each table is read by `read_table`, by ``skproj select`` and by an exported panel.
"""

import io
import re
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from cli_helpers import make_frame, select
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skproj.cli._arguments import make_parser
from skproj.cli._errors import CommandError, Errors
from skproj.cli._inputs import read_inputs
from skproj.cli._select import make_problem
from skproj.cli._tables import ReadOptions, read_table
from skproj.persistence import export_panel
from skproj.persistence._panel._text_tables import find_layout

NAN = np.nan
KINDS = ["r", "s", "r", "s"]
B = [0.5, 2.25, 7.0, 1.125]


def rows_of(a, b=None, sep=";", head="a{0}b{0}kind\n"):
    """Return the text of a table of two columns of numbers."""
    b = ["1", "2", "3", "4"] if b is None else b
    lines = [sep.join(row) for row in zip(a, b, KINDS, strict=True)]
    return head.format(sep) + "\n".join(lines) + "\n"


POINTS = ["0.5", "2.25", "7", "1.125"]
COMMAS = ["0,5", "2,25", "7", "1,125"]
QUOTED = ['"3,894"', "437", '"12,250"', '"1,001"']
GERMAN = ["1.234", "437", "2.500.000", "12.250"]
THOUSANDS = [3894, 437, 12250, 1001]
WHOLE = [1, 2, 3, 4]
AS_3894 = "'3,894' was read as 3894"

MIXED = ["3,894", "437", "12,250", "1,001"]
THREE = ["3.894", "4.371", "12.250", "1.001"]


def one(cells, numbers, said="", **options):
    """Return a table of one column of interest, beside whole numbers."""
    return rows_of(cells), (numbers, WHOLE), said, options


# By name: the text, the numbers of the columns, what is said, and options.
READ = {
    "thousands, proved by points": (rows_of(MIXED, POINTS), (THOUSANDS, B), AS_3894),
    "thousands, in tabs": (rows_of(MIXED, POINTS, "\t"), (THOUSANDS, B), AS_3894),
    "thousands, in bars, in another column": (
        rows_of(MIXED, ["1,000,000", "5", "6", "7"], "|"),
        (THOUSANDS, [1e6, 5, 6, 7]),
        "thousands marks, in 'a', 'b'",
    ),
    "thousands in quotes": (rows_of(QUOTED, POINTS, ","), (THOUSANDS, B), AS_3894),
    "thousands and points": (
        rows_of(['"5,125.70"', '"12.5"', '"1,000.00"', '"3"'], None, ","),
        ([5125.7, 12.5, 1000, 3], WHOLE),
        "'5,125.70' was read as 5125.7",
    ),
    "thousands in the last row": one(
        ["3,894", "437", "12", "1,234,567"], [3894, 437, 12, 1234567], "as 3894"
    ),
    "thousands that are said": one(MIXED, THOUSANDS, thousands=","),
    "decimal commas that are said": one(MIXED, [3.894, 437, 12.25, 1.001], decimal=","),
    "decimal commas": one(COMMAS, B),
    "decimal commas in quotes": (
        rows_of([f'"{cell}"' for cell in COMMAS], None, ","),
        (B, WHOLE),
        "",
    ),
    "decimal commas, proved by another column": (
        rows_of(MIXED, COMMAS),
        ([3.894, 437, 12.25, 1.001], B),
        "'a' has '3,894' .* read as 3.894: --thousands , reads 3894, --decimal , confi",
    ),
    "decimal commas, proved late": one(
        ["3,894", "4,371", "12,250", "0,001"], [3.894, 4.371, 12.25, 0.001]
    ),
    "points for thousands": one(
        GERMAN, [1234, 437, 2500000, 12250], "'1.234' was read as 1234"
    ),
    "points for thousands, proved by decimal commas": (
        rows_of(["1.234", "437", "2.500", "12.250"], COMMAS),
        ([1234, 437, 2500, 12250], B),
        "'1.234' was read as 1234",
    ),
    "points for thousands and decimal commas": one(
        ["1.234,5", "437", "-2.500,25", "12"], [1234.5, 437, -2500.25, 12], "as 1234.5"
    ),
    "three decimals": one(
        THREE,
        [3.894, 4.371, 12.25, 1.001],
        "'a' has '3.894' .* read as 3.894: --thousands . reads 3894, --decimal . confi",
    ),
    "three decimals that are said": one(
        THREE, [3.894, 4.371, 12.25, 1.001], decimal="."
    ),
    "three decimals, proved by another column": (
        rows_of(THREE, POINTS),
        ([3.894, 4.371, 12.25, 1.001], B),
        "",
    ),
    "apostrophes": one(
        ["1'234", "437", "2'500'000.5", "3"],
        [1234, 437, 2500000.5, 3],
        '"1\'234" was read as 1234',
    ),
    "blanks": one(
        ["1 600", "437", "2 500 000,5", "3"],
        [1600, 437, 2500000.5, 3],
        "'1 600' was read as 1600",
    ),
    "blanks that are said": one(
        ["1 600", "437", "2 500", "3"], [1600, 437, 2500, 3], thousands=" "
    ),
    "narrow blanks": one(
        ["1\u202f600", "437", "2\xa0500", "3\u2009000"],
        [1600, 437, 2500, 3000],
        "was read as 1600",
    ),
    "minus signs": one(["\u22125", "-3", "+2.5", "1e-3"], [-5, -3, 2.5, 1e-3]),
    "digits of another script": one(
        ["\u0661\u0662\u0663", "5", "6", "7"], [123, 5, 6, 7]
    ),
    "exponents and zeros": one(["1e5", "007", "1E+2", ".5"], [1e5, 7, 100, 0.5]),
    "numbers of twenty digits": one(
        ["12345678901234567890123", "1", "2", "3"], [12345678901234567890123.0, 1, 2, 3]
    ),
    "words for gaps": one(
        ["5.1", "n.d.", "-", "6.2"], [5.1, NAN, NAN, 6.2], missing=("n.d.", "-")
    ),
    "codes for gaps": one(
        ["5.1", "-9", "-9.0", "6.2"], [5.1, NAN, NAN, 6.2], missing=("-9",)
    ),
    "limits as gaps": one(
        ["5,1", "<0,5", "7", "6,2"], [5.1, NAN, 7, 6.2], missing=("<0,5",)
    ),
    "gaps with blanks": one(["5,1", " NA", "7", ""], [5.1, NAN, 7, NAN]),
    "errors of a spreadsheet": one(
        ["5.1", "#DIV/0!", "7", "#VALUE!"], [5.1, NAN, 7, NAN]
    ),
    "limits as half of them": one(
        ["5,1", "< 0,5", "7", "<6"], [5.1, 0.25, 7, 3], below=("<",)
    ),
    "one of the limits as half of it": one(
        ["5.1", "<0.5", "7", "<6"],
        [5.1, 0.25, 7, NAN],
        below=("<0.5",),
        missing=("<6",),
    ),
    "blanks between columns, as R": (
        '"a" "b" "kind"\n"1" 0.5 1 "r"\n"2" 2.25 2 "s"\n"3" 7 3 "r"\n"4" 1.125 4 "s"\n',
        (B, WHOLE),
        "",
    ),
    "columns of one width": (
        "  a       b kind\n0.5       1    r\n2.25      2    s\n7         3    r\n"
        "1.125     4    s\n",
        (B, WHOLE),
        "",
    ),
    "tabs, as R": (
        "a\tb\tkind\nx\t0.5\t1\tr\ny\t2.25\t2\ts\nz\t7\t3\tr\nw\t1.125\t4\ts\n",
        (B, WHOLE),
        "",
    ),
    "titles": (
        "Results of the study\n\n" + rows_of(POINTS),
        (B, WHOLE),
        "1 lines above the header were left out, .* 'Results of the study'",
    ),
    "titles of a spreadsheet": (
        "Results;;\n;;\n" + rows_of(COMMAS),
        (B, WHOLE),
        "2 lines above the header",
    ),
    "a title with a comma": (
        "Results, 2024\n" + rows_of(POINTS, None, ","),
        (B, WHOLE),
        "1 lines above the header",
    ),
    "empty last columns": (
        rows_of(POINTS, None, ",").replace("\n", ",,\n"),
        (B, WHOLE),
        "",
    ),
    "separators at the ends of rows": (
        rows_of(POINTS, None, ",").replace("r\n", "r,\n").replace("s\n", "s,\n"),
        (B, WHOLE),
        "",
    ),
    "empty rows": (rows_of(POINTS) + ";;\n;;\n", (B, WHOLE), ""),
    "quotes after blanks": (
        '"a", "b", "kind"\n"0.5", 1, "r"\n"2.25", 2, "s"\n"7", 3, "r"\n'
        '"1.125", 4, "s"\n',
        (B, WHOLE),
        "",
    ),
    "blanks around names and classes": (
        " a ;b\xa0;kind\n0.5;1;r \n2.25;2;s\n7;3; r\n1.125;4;s\u200b\n",
        (B, WHOLE),
        "text was trimmed, in the columns 'kind' and the names .*'b'",
    ),
}


def read_by_table(path, **options):
    table = read_table(ReadOptions(path, target="kind", **options))
    if table.text_columns(["a", "b"]):
        table.check_not_numbers(["a", "b"])
    assert table.labels("kind").tolist() == KINDS
    return table.numbers(["a", "b"], allow_missing=True)


def read_by_select(path, **options):
    arguments = ["select", str(path), "--target", "kind", "--impute", "median"]
    arguments += ["--encode", "onehot"]  # which must not hide what is wrong
    for name, value in options.items():  # a sign, or words
        name = {"missing": "na", "below": "na-below"}.get(name, name)
        arguments += [f"--{name}", *value]
    parsed = make_parser().parse_args(arguments)
    parsed.refused = {"cv"}  # so that four rows are not too few
    inputs = read_inputs(parsed, Errors())
    problem, _ = make_problem(parsed, inputs, {"the table": ""})
    assert list(problem.y) == KINDS
    X = problem.X
    return X[["a", "b"]].to_numpy() if hasattr(X, "columns") else np.asarray(X)


@pytest.fixture(scope="module")
def panel(tmp_path_factory):
    """Return the names of a panel that reads the columns a and b."""
    X = pd.DataFrame({"a": np.arange(8.0), "b": np.arange(8.0) % 3})
    model = make_pipeline(StandardScaler(), LogisticRegression())
    path = tmp_path_factory.mktemp("panel") / "panel_model.py"
    export_panel(model.fit(X, np.arange(8) > 3), path)
    names = {"__name__": "panel"}
    exec(compile(path.read_text("utf-8"), path, "exec"), names)
    return names


def read_by_panel(path, panel, **options):
    table = panel["read_table"](path, **options)
    return np.array([table["a"], table["b"]], dtype=float).T


@pytest.mark.parametrize("name", READ)
def test_numbers_are_read_as_they_are_written(name, panel, tmp_path):
    text, columns, sentence, *options = READ[name]
    options = dict(*options)
    path = tmp_path / "table.csv"
    path.write_bytes(text.encode("utf-8"))
    expected = np.transpose(columns).astype(float)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = read_by_table(path, **options)
    np.testing.assert_allclose(found, expected, rtol=1e-14)
    said = [str(warning.message) for warning in told]
    assert len(said) == (sentence != "")
    assert re.search(sentence, "".join(said))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = read_by_select(path, **options)
        found_by_panel = read_by_panel(path, panel, **options)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_allclose(found_by_panel, expected)


REFUSED = {
    "thousands or decimals": (
        MIXED,
        r"column 'a' has '3,894' in row 1, which can be 3.894 or 3894: --decimal , "
        "reads the first, --thousands , the second",
    ),
    "thousands or decimals, in quotes": (
        rows_of(QUOTED, None, ","),
        "column 'a' has '3,894' in row 1, which can be 3.894 or 3894",
    ),
    "points beside whole numbers": (
        ["1.234", "437", "2.500", "12.250"],
        "'2.500' in row 3, which can be 2.5 or 2500: --decimal . .* --thousands .",
    ),
    "two signs in a column": (
        ["0,5", "2.25", "7", "1,125"],
        "column 'a' has decimal commas such as '0,5' in row 1, and column 'a' has "
        "decimal points such as '2.25' in row 2.*--decimal",
    ),
    "two signs in a table": (
        rows_of(COMMAS, POINTS),
        "column 'a' has decimal commas .*column 'b' has decimal points",
    ),
    "thousands and decimal commas": (
        rows_of(["1,234,567", "5", "6", "7"], COMMAS),
        "column 'b' has decimal commas .*column 'a' has decimal points such as "
        "'1,234,567'",
    ),
    "limits": (
        rows_of(["<90", "437", "512", ">600"], POINTS),
        "'a' holds numbers but for 2 entries such as '<90' in row 1; "
        "--na '<90' '>600' reads them as missing",
    ),
    "percent": (["12%", "5.5%", "7%", "1%"], "'a' .*'12%' in row 1"),
    "units": (["5.2 mg", "3 mg", "4.1 mg", "9 mg"], "'a' holds .*plain number"),
    "units here and there": (
        ["5.2", "3 mg/dl", "4.1", "9"],
        "'a' holds .*'3 mg/dl' in row 2; write it as a plain number",
    ),
    "quotes of a spreadsheet": (["'5.2", "'3", "'4.1", "9"], "'a' holds .*plain"),
    "other marks": (["1\u00b4600", "437", "25", "9.5"], "'a' holds .*plain number"),
    "currency": (["$5", "$1.50", "$7", "1"], r"'a' .*'\$5' in row 1"),
    "euro": (["5 \u20ac", "1,50 \u20ac", "7 \u20ac", "2"], "'a' .*in row 1"),
    "parentheses": (["5.5", "(3.2)", "7", "2"], r"'a' .*'\(3.2\)' in row 2"),
    "minus at the end": (["5.5", "3.2-", "7", "2"], "'a' .*'3.2-' in row 2"),
    "words": (["5.5", "n.d.", "7.2", "2.1"], "'a' .*'n.d.' in row 2"),
    "a dash": (["5.5", "-", "7.2", "2.1"], "'a' holds .*'-' in row 2; --na=- reads it"),
    "underscores": (["1_000", "5", "7", "2"], "'a' .*'1_000' in row 1"),
    "hexadecimal": (["0x10", "5.5", "7.5", "2"], "'a' .*'0x10' in row 1"),
    "exponents of Fortran": (["1d3", "5.5", "7.5", "2"], "'a' .*'1d3'"),
    "a row with more cells": (
        rows_of(POINTS, None, ",") + "1,2,r,5\n",
        "4 cells in row 5, and 3 names",
    ),
    "decimal commas without quotes": (
        "b,a,kind\n1,5,1,r\n2,5,2,s\n1,7,3,r\n1,1,4,s\n",
        "rows have 4 cells, and 3 columns have a name; .*'1' is in two rows",
    ),
    "a row with less cells": (
        rows_of(POINTS, None, ",") + "1,2\n",
        "2 cells in row 5, and 3 names",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_tables_are_refused_by_name(name, panel, tmp_path):
    text, sentence = REFUSED[name]
    text = text if isinstance(text, str) else rows_of(text)
    path = tmp_path / "table.csv"
    path.write_bytes(text.encode("utf-8"))
    for read in (read_by_table, read_by_select):
        with pytest.raises(CommandError, match=sentence) as caught:
            read(path)
        assert str(caught.value).startswith(str(path))
        assert str(caught.value).count("\n") == 0
    with pytest.raises(ValueError, match=sentence.partition(" holds")[0]):
        panel["predict"](panel["read_table"](path))


@pytest.mark.parametrize("separator", ",;\t|")
def test_a_title_may_hold_the_separator(separator):
    names = ["id", "age", "weight", "group"]
    rows = [[f"p{i}", f"{i}", f"{i}.5", "case"] for i in range(9)]
    lines = [separator.join(row) + "\n" for row in (names, *rows)]
    layout = find_layout([f"Study A{separator} 2024\n", "\n", *lines])
    assert (layout.separator, layout.names) == (separator, names)
    # A header with too few names is no title: its rows hold numbers.
    layout = find_layout([f"id{separator}age\n", *lines[1:]])
    assert layout.names != rows[0]


def test_typed_text_that_holds_numbers_is_no_category(tmp_path, capsys):
    """In Parquet, where text is text, and codes such as 01 are categories."""
    frame = make_frame().assign(code=["01", "02", "1"] * 30, dose="5,125.70")
    frame.loc[::2, "dose"] = "437"
    frame.to_parquet(tmp_path / "table.parquet")
    options = ["--encode", "onehot", "--eta", 1]
    assert select(tmp_path / "table.parquet", *options) == 2
    assert "'dose' is text that holds numbers such as '" in capsys.readouterr().err
    assert select(tmp_path / "table.parquet", *options, "--drop", "dose") == 0
    assert "Text was encoded by a column for each value" in capsys.readouterr().out


def test_codes_for_gaps_beside_text_with_numbers(tmp_path):
    """Where the numbers are read as text first, a code is a number all the same."""
    path = tmp_path / "table.csv"
    lines = ["a,b,kind", "5.1,1e5,r", "-9.0,x,s", "-9,-9.0,r", "6.2,3,s"]
    path.write_text("\n".join(lines))
    table = read_table(ReadOptions(path, target="kind", missing=("-9",)))
    found = table.numbers(["a"], allow_missing=True)[:, 0]
    np.testing.assert_array_equal(found, [5.1, NAN, NAN, 6.2])
    assert table.target("b").tolist() == ["1e5", "x", "-9.0", "3"]


def test_columns_that_are_dropped_do_not_matter(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(rows_of(COMMAS, POINTS))
    with pytest.raises(CommandError, match="must be written alike"):
        read_table(ReadOptions(path, target="kind"))
    table = read_table(ReadOptions(path, target="kind", drop=("b",)))
    np.testing.assert_array_equal(table.numbers(["a"])[:, 0], B)


SHEET = {
    "a": [1.5, "1,234.5", "2,000", "\u22123", None],
    "b": ["12,5", 3, 7, "n.d.", "<2"],
}


def test_text_in_cells_of_a_sheet(tmp_path):
    """Numbers that were typed as text are read by the same rule."""
    path = tmp_path / "book.xlsx"
    frame = pd.DataFrame({**SHEET, "kind": ["01", "1", "01", "1", "1"]})
    frame.to_excel(path, index=False)
    with pytest.raises(CommandError, match=r"'b' has decimal commas .*'a' has decimal"):
        read_table(ReadOptions(path, target="kind"))
    frame["b"] = frame["b"].replace("12,5", "12.5")
    with pd.ExcelWriter(path) as book:
        frame.to_excel(book, index=False, startrow=2)
        book.book["Sheet1"]["A1"] = "Results"
    options = {"target": "kind", "missing": ("n.d.", "<2")}
    with (
        pytest.warns(UserWarning, match="above the header .* 'Results'"),
        pytest.warns(UserWarning, match=r"'1,234\.5' was read as 1234\.5"),
    ):
        table = read_table(ReadOptions(path, **options))
    expected = [[1.5, 12.5], [1234.5, 3], [2000, 7], [-3, NAN], [NAN, NAN]]
    numbers = table.numbers(["a", "b"], allow_missing=True)
    np.testing.assert_array_equal(numbers, expected)
    assert table.labels("kind").tolist() == ["01", "1", "01", "1", "1"]


TRANSPOSED = {
    ",": ['"1,234"', '"5,678,901"', "3"],
    ";": ["1.234", "5.678.901", "3"],
    "\t": ["1,234", "5,678,901", "3"],
}


@pytest.mark.parametrize("separator", TRANSPOSED)
def test_transposed_tables(separator, tmp_path):
    path = tmp_path / "genes.csv"
    rows = [["gene", "s1", "s2", "s3"], ["a", *TRANSPOSED[separator]]]
    rows += [["b", "1", "2", "3"], ["kind", "r", "s", "r"]]
    path.write_text("".join(separator.join(row) + "\n" for row in rows))
    with pytest.warns(UserWarning, match="in 'a': '1.234' was read as 1234"):
        table = read_table(ReadOptions(path, target="kind", transpose=True))
    numbers = table.numbers(["a", "b"])
    np.testing.assert_array_equal(numbers, [[1234, 1], [5678901, 2], [3, 3]])
    path.write_text("gene;s1;s2\na;1,234;5,678\nkind;r;s\n")
    with pytest.raises(CommandError, match=r"--decimal , reads .*, --thousands , "):
        read_table(ReadOptions(path, target="kind", transpose=True))


def test_numbers_of_targets_and_labels(tmp_path):
    path, labels = tmp_path / "table.csv", tmp_path / "labels.csv"
    path.write_text('id,a,kind\n001,0.5,"1,234"\n002,1.5,437\n')
    with pytest.warns(UserWarning, match="in 'kind': '1,234' was read as 1234"):
        table = read_table(ReadOptions(path, target="kind", index="id"))
    assert table.labels("kind").tolist() == [1234, 437]
    path.write_text("id,a\n001,0.5\n002,1.5\n")
    labels.write_text("id;kind\n002;1,500\n001;2,250\n")
    options = {"target": "kind", "index": "id", "labels": labels}
    with pytest.raises(CommandError, match=r"labels.csv .*'kind' has '1,500'"):
        read_table(ReadOptions(path, **options))
    table = read_table(ReadOptions(path, thousands=",", **options))
    assert table.labels("kind").tolist() == [2250, 1500]


@pytest.mark.filterwarnings("default::UserWarning")
def test_standard_input(monkeypatch, capsys):
    frame = make_frame().assign(gene0=lambda f: f["gene0"] * 1000)
    text = frame.assign(gene0=frame["gene0"].map("{:,.2f}".format)).to_csv(sep="\t")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert select("-", "--eta", 1) == 0
    captured = capsys.readouterr()
    assert "-: 90 rows, 8 features" in captured.out
    assert "has numbers with thousands marks, in 'gene0'" in captured.err
    assert "gene0" in captured.out.rpartition("selected features")[2]


def test_options_that_do_not_suit_are_refused(tmp_path, capsys):
    make_frame().to_parquet(tmp_path / "table.parquet")
    make_frame().to_csv(tmp_path / "table.csv", index=False)
    for name, arguments, sentence in (
        ("table.parquet", ["--thousands", ","], "--thousands is for files of text and"),
        ("table.parquet", ["--backed", "--na", "-9"], "--na is not for .* --backed"),
        ("table.csv", ["--decimal", ",", "--thousands", ","], "must differ, got ','"),
        ("table.csv", ["--thousands", ";"], "invalid choice: ';'"),
    ):
        assert select(tmp_path / name, *arguments) == 2
        assert re.search(sentence, capsys.readouterr().err)
