"""Panels of linear models in R and in a spreadsheet predict what the program does."""

import io
import shutil
import subprocess

import numpy as np
import openpyxl
import pandas as pd
import pytest
from cli_helpers import make_frame, select

from skproj.cli import main

# In UTF-8, with all digits.
CSV = "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,false"
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
    frame.to_csv(folder / "table.csv", index=False)
    options = ["--eta", "8", "--impute", "indicator", "--encode", "onehot"]
    options += [*CASES[request.param], "--out", folder / "out"]
    assert select(folder / "table.csv", *options) == 0
    panel = folder / "panel"
    assert main(["export", "panel", str(folder / "out"), "--out", str(panel)]) == 0
    new = frame.drop(columns=["kind", "died"], errors="ignore")[:12]
    new.loc[2:3, "gene0"] = 1e6, -1e6  # far more than exp takes
    new.to_csv(folder / "new.csv", index=False)
    model = str(folder / "out" / "model.skops")
    out = folder / "expected.csv"
    assert main(["apply", model, str(folder / "new.csv"), "--out", str(out)]) == 0
    return panel, new, pd.read_csv(out, index_col=0)


def check(found, expected):
    """Compare predictions, and probabilities where there are some."""
    if expected["prediction"].dtype.kind == "f":
        np.testing.assert_allclose(found["prediction"], expected["prediction"], 1e-5)
        return
    assert found["prediction"].tolist() == expected["prediction"].tolist()
    for name in expected.columns.intersection(found.columns)[1:]:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-5)


@needs_r
def test_r_predicts_the_same(exported):
    folder, new, expected = exported
    path = folder / "new.csv"
    new.to_csv(path, index=False)
    done = subprocess.run(
        ["Rscript", str(folder / "panel_model.R"), str(path)],
        capture_output=True,
        check=True,
        env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"},
    )
    found = pd.read_csv(io.BytesIO(done.stdout))
    assert len(found) == len(new)
    check(found, expected.reset_index(drop=True))


CELLS = {
    "codes": ["01", "1", "02"],
    "gaps": ["a", "N/A", "null", "ND"],
    "blanks": ["a", " a", "b"],
    "letters": ["T", "F", None],
    "numbers": ["1e5", "100000", "x"],
}


@needs_r
@pytest.mark.parametrize("entries", CELLS.values(), ids=CELLS)
def test_r_reads_cells_as_they_are_written(entries, tmp_path):
    frame = make_frame(2)
    site = np.resize(np.array(entries, dtype=object), 90)
    frame["gene0"] += 2.0 * (site == entries[0])
    frame["site"] = site
    frame["gene1"] = frame["gene1"].where(frame.index % 5 > 0, -99.0)
    frame["kind"] = np.where(frame["kind"] == "red", 100_000, 2)
    frame.to_csv(tmp_path / "table.csv", index=False)
    options = ["--eta", 9, "--impute", "indicator", "--encode", "onehot"]
    options += ["--na", "ND", "-99", "--out", tmp_path / "out"]
    assert select(tmp_path / "table.csv", *options) == 0
    panel, new = str(tmp_path / "panel"), str(tmp_path / "new.csv")
    assert main(["export", "panel", str(tmp_path / "out"), "--out", panel]) == 0
    frame.drop(columns="kind").to_csv(new, index=False)
    model, out = str(tmp_path / "out" / "model.skops"), str(tmp_path / "expected.csv")
    assert main(["apply", model, new, "--out", out]) == 0
    done = subprocess.run(
        ["Rscript", f"{panel}/panel_model.R", new], capture_output=True, check=True
    )
    found, expected = pd.read_csv(io.BytesIO(done.stdout)), pd.read_csv(out)
    assert list(found) == ["prediction", "probability_2", "probability_100000"]
    check(found, expected)


@pytest.mark.parametrize(
    ("entry", "reason"),
    [("a\x01", "has characters that no workbook"), ("a" * 300, "more than 255 char")],
)
def test_categories_that_no_workbook_may_hold(entry, reason, tmp_path, capsys):
    frame = make_frame(2).assign(site=[entry, "b"] * 45)
    frame["gene0"] += 2.0 * (frame["site"] == "b")
    frame.to_csv(tmp_path / "table.csv", index=False)
    options = ["--eta", 9, "--encode", "onehot", "--out", tmp_path / "out"]
    assert select(tmp_path / "table.csv", *options) == 0
    panel = str(tmp_path / "panel")
    assert main(["export", "panel", str(tmp_path / "out"), "--out", panel]) == 0
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
            formula = sheet.cell(2, j).value
            sheet.cell(
                i,
                j,
                openpyxl.formula.translate.Translator(formula, "A2").translate_formula(
                    f"A{i}"
                ),
            )
    book.save(folder / "filled.xlsx")
    subprocess.run(
        ["soffice", "--headless", f"-env:UserInstallation=file://{folder}/office"]
        + ["--convert-to", CSV, "--outdir", str(folder), str(folder / "filled.xlsx")],
        capture_output=True,
        check=True,
    )
    found = pd.read_csv(folder / "filled.csv")
    assert list(found) == names
    found.columns = [name.replace("probability ", "probability_") for name in names]
    check(found, expected.reset_index(drop=True))


@needs_r
@pytest.mark.parametrize(
    ("separator", "decimal"), [(";", ","), ("\t", "."), ("|", ",")]
)
def test_r_reads_tables_as_the_training_did(separator, decimal, tmp_path):
    frame = make_frame(2).astype(object)
    frame.loc[::7, "gene0"] = "<0.5"
    frame.loc[::9, "gene1"] = "ND"
    frame.loc[::11, "gene2"] = -99
    text = frame.to_csv(index=False, sep=separator).replace(".", decimal)
    path = tmp_path / "table.csv"
    path.write_text(text, encoding="utf-8")
    options = ["--na", "ND", "-99", "--na-below", "<", "--impute", "median", "--eta", 9]
    assert select(path, *options, "--out", tmp_path / "out") == 0
    panel, out = tmp_path / "panel", tmp_path / "expected.csv"
    assert main(["export", "panel", str(tmp_path / "out"), "--out", str(panel)]) == 0
    model = str(tmp_path / "out" / "model.skops")
    assert main(["apply", model, str(path), "--out", str(out)]) == 0
    done = subprocess.run(
        ["Rscript", str(panel / "panel_model.R"), str(path)],
        capture_output=True,
        check=True,
    )
    check(pd.read_csv(io.BytesIO(done.stdout)), pd.read_csv(out, index_col=0))


@needs_r
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gene0": "low"}, "column 'gene0' has 'low' in row 1, which is not a finite"),
        ({"gene0": None}, "the table has no column 'gene0'"),
    ],
)
def test_r_says_what_is_wrong(change, message, tmp_path):
    frame = make_frame(2)
    frame.to_csv(tmp_path / "table.csv", index=False)
    assert select(tmp_path / "table.csv", "--eta", 2, "--out", tmp_path / "out") == 0
    panel = tmp_path / "panel"
    assert main(["export", "panel", str(tmp_path / "out"), "--out", str(panel)]) == 0
    frame = frame.assign(**change).dropna(axis=1)
    frame.to_csv(tmp_path / "new.csv", index=False)
    done = subprocess.run(
        ["Rscript", str(panel / "panel_model.R"), str(tmp_path / "new.csv")],
        capture_output=True,
        check=False,
    )
    assert done.returncode != 0
    assert message in done.stderr.decode()


def test_a_network_has_no_formulas(tmp_path):
    make_frame(2).to_csv(tmp_path / "table.csv", index=False)
    options = ["--method", "auto", "--eta", 2, "--out", tmp_path / "out"]
    assert select(tmp_path / "table.csv", *options) == 0
    panel = tmp_path / "panel"
    assert main(["export", "panel", str(tmp_path / "out"), "--out", str(panel)]) == 0
    assert {file.name for file in panel.iterdir()} == {"panel.csv", "panel_model.py"}
