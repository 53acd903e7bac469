"""Panels of linear models in R and in a spreadsheet predict what the program does."""

import io
import shutil
import subprocess

import numpy as np
import openpyxl
import pandas as pd
import pytest
from cli_helpers import apply, make_frame, select

from skproj.cli import main

# In UTF-8, with all digits.
CSV = "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,false"
PROBABILITY = "probability_"
needs_r = pytest.mark.skipif(not shutil.which("Rscript"), reason="R is not installed")
needs_office = pytest.mark.skipif(
    not shutil.which("soffice"), reason="LibreOffice is not installed"
)


def table(task):
    """Return a table with gaps, categories and names that need quotes, and a target."""
    frame = make_frame(3 if task == "three classes" else 2)
    rng = np.random.default_rng(1)
    site = rng.choice(["a", "A", 'the "b"'], size=90)
    frame["site = \\Ubung 😀"] = site
    frame["gene0"] += 4.0 * (site == "a")
    frame = frame.rename(columns={"gene1": '=x"é', "gene2": "a,b"})
    frame.loc[::6, '=x"é'] = np.nan
    frame.loc[1::6, "a,b"] = np.nan
    signal = frame["gene0"].to_numpy() + 2.0 * (site == "A")
    if task == "numbers":
        frame["kind"] = 1e3 + 50.0 * signal
    if task == "times":
        frame["kind"] = rng.exponential(np.exp(-signal / 4.0)) + 0.01
        frame["died"] = rng.integers(2, size=90)
    return frame


def make_panel(frame, folder, *options):
    """Select from a table, and return the folders of the result and of its panel."""
    text = frame if isinstance(frame, str) else frame.to_csv(index=False)
    (folder / "table.csv").write_text(text, encoding="utf-8")
    out, panel = folder / "out", folder / "panel"
    assert select(folder / "table.csv", *options, "--out", out) == 0
    assert main(["export", "panel", str(out), "--out", str(panel)]) == 0
    return out, panel


def applied(out, path):
    """Return the predictions of ``skproj apply`` for a table."""
    return apply(out, path, dtype={"prediction": str})


def run_r(panel, path):
    """Run the script of a panel on a table, which may be refused."""
    return subprocess.run(
        ["Rscript", str(panel / "panel_model.R"), str(path)],
        capture_output=True,
        check=False,
        env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"},
    )


def check(text, expected):
    """Compare printed predictions, and probabilities where there are some."""
    found = pd.read_csv(text, dtype={"prediction": str})
    found = found.rename(columns=lambda name: name.replace("probability ", PROBABILITY))
    assert len(found) == len(expected)
    probabilities = [name for name in expected if name.startswith(PROBABILITY)]
    if probabilities:
        assert found["prediction"].tolist() == expected["prediction"].tolist()
        for name in found.columns.intersection(probabilities):
            np.testing.assert_allclose(found[name], expected[name], atol=1e-5)
    else:
        numbers = expected["prediction"].astype(float)
        np.testing.assert_allclose(found["prediction"].astype(float), numbers, 1e-5)
    return found


CASES = {
    "two classes": [],
    "two classes, threshold": ["--threshold", "f1"],
    "three classes": [],
    "numbers": [],
    "times": ["--event", "died"],
}


@pytest.fixture(scope="module", params=CASES)
def exported(request, tmp_path_factory):
    """Return the folder of a panel, a table of new rows, and its predictions."""
    folder = tmp_path_factory.mktemp("panel")
    frame = table(request.param.partition(",")[0])
    options = ["--eta", "8", "--impute", "indicator", "--encode", "onehot"]
    out, panel = make_panel(frame, folder, *options, *CASES[request.param])
    new = frame.drop(columns=["kind", "died"], errors="ignore")[:12]
    new.loc[2:3, "gene0"] = 1e6, -1e6  # far more than exp takes
    new.to_csv(folder / "new.csv", index=False)
    return panel, new, applied(out, folder / "new.csv")


@needs_r
def test_r_predicts_the_same(exported):
    panel, _, expected = exported
    check(io.BytesIO(run_r(panel, panel.with_name("new.csv")).stdout), expected)


CELLS = {
    "codes": ["01", "1", "02"],
    "gaps": ["a", "N/A", "null", "ND"],
    "blanks": ["a", " a", "b"],
    "letters": ["T", "F", None],
    "numbers": ["1e5", "100000", "x"],
}


@needs_r
def test_r_reads_cells_as_they_are_written(tmp_path):
    frame, rng = make_frame(2), np.random.default_rng(0)
    for name, entries in CELLS.items():
        frame[name] = rng.choice(np.array(entries, dtype=object), 90)
        frame["gene0"] += 2.0 * (frame[name] == entries[0])
    frame["gene1"] = frame["gene1"].where(frame.index % 5 > 0, -99.0)
    frame["kind"] = np.where(frame["kind"] == "red", 100_000, 2)
    options = ["--eta", 90, "--impute", "indicator", "--encode", "onehot"]
    out, panel = make_panel(frame, tmp_path, *options, "--na", "ND", "-99")
    columns = set(pd.read_csv(panel / "panel.csv")["column"])
    assert columns.issuperset(CELLS)
    new = tmp_path / "new.csv"
    frame.drop(columns="kind").to_csv(new, index=False)
    found = check(io.BytesIO(run_r(panel, new).stdout), applied(out, new))
    assert list(found) == ["prediction", "probability_2", "probability_100000"]


@needs_r
def test_r_prints_truth_values_as_the_command_does(tmp_path):
    frame = make_frame(2)
    frame["kind"] = frame["kind"] == "red"
    out, panel = make_panel(frame, tmp_path, "--eta", 9)
    expected = applied(out, tmp_path / "table.csv")
    found = check(io.BytesIO(run_r(panel, tmp_path / "table.csv").stdout), expected)
    assert set(found["prediction"]) == {"TRUE", "FALSE"}
    assert list(found) == ["prediction", "probability_False", "probability_True"]


@pytest.mark.parametrize(
    ("entry", "reason"),
    [("a\x01", "has characters that no workbook"), ("a" * 300, "more than 255 char")],
)
def test_categories_that_no_workbook_may_hold(entry, reason, tmp_path, capsys):
    frame = make_frame(2).assign(site=[entry, "b"] * 45)
    frame["gene0"] += 2.0 * (frame["site"] == "b")
    make_panel(frame, tmp_path, "--eta", 9, "--encode", "onehot")
    assert reason in capsys.readouterr().out


@needs_office
def test_a_spreadsheet_predicts_the_same(exported):
    folder, new, expected = exported
    book = openpyxl.load_workbook(folder / "panel_model.xlsx")
    sheet = book.active
    names = [cell.value for cell in sheet[1]]
    n = names.index("prediction") + 1
    inputs = [name for name in names if name in new]
    for i, row in enumerate(new[inputs].astype(object).to_numpy(), 2):
        for j, value in enumerate(row, 1):
            sheet.cell(i, j, None if pd.isna(value) else value)
        for j in range(len(inputs) + 1, n + 1):  # as a spreadsheet copies it down
            copy = openpyxl.formula.translate.Translator(sheet.cell(2, j).value, "A2")
            sheet.cell(i, j, copy.translate_formula(f"A{i}"))
    book.save(folder / "filled.xlsx")
    subprocess.run(
        ["soffice", "--headless", f"-env:UserInstallation=file://{folder}/office"]
        + ["--convert-to", CSV, "--outdir", str(folder), str(folder / "filled.xlsx")],
        capture_output=True,
        check=True,
    )
    check(folder / "filled.csv", expected)
    assert list(pd.read_csv(folder / "filled.csv")) == names


@needs_r
@pytest.mark.parametrize(("separator", "decimal"), [(";", ","), ("\t", ".")])
def test_r_reads_tables_as_the_training_did(separator, decimal, tmp_path):
    frame = make_frame(2).astype(object)
    frame.loc[::7, "gene0"] = "<0.5"
    frame.loc[::9, "gene1"] = "ND"
    frame.loc[::11, "gene2"] = -99
    text = frame.to_csv(index=False, sep=separator).replace(".", decimal)
    options = ["--na", "ND", "-99", "--na-below", "<", "--impute", "median", "--eta", 9]
    out, panel = make_panel(text, tmp_path, *options)
    path = tmp_path / "table.csv"
    check(io.BytesIO(run_r(panel, path).stdout), applied(out, path))


@needs_r
def test_r_says_what_is_wrong(tmp_path):
    _, panel = make_panel(make_frame(2), tmp_path, "--eta", 2)
    for value, message in (
        ("low", "column 'gene0' has 'low' in row 1, which is not a finite"),
        (None, "the table has no column 'gene0'"),
    ):
        frame = make_frame(2).assign(gene0=value).dropna(axis=1)
        frame.to_csv(tmp_path / "new.csv", index=False)
        done = run_r(panel, tmp_path / "new.csv")
        assert done.returncode != 0
        assert message in done.stderr.decode()


def test_a_network_has_no_formulas(tmp_path):
    _, panel = make_panel(make_frame(2), tmp_path, "--method", "auto", "--eta", 2)
    assert {file.name for file in panel.iterdir()} == {"panel.csv", "panel_model.py"}
