"""Spectra: windows of neighbouring channels, and scores at their positions."""

import numpy as np
import pandas as pd
import pytest
from cli_helpers import select, selected
from matplotlib.figure import Figure
from report_helpers import make_result

from skproj.cli._channels import channels, windows
from skproj.cli._plots import draw_plots, draw_spectrum

NAMES = [f"X{1000 + 2.5 * j:.1f}" for j in range(40)]


@pytest.mark.parametrize(
    ("form", "unit"),
    [("{}", ""), ("X{}", ""), ("wl_{}", ""), ("{} nm", "nm"), ("{}cm-1", "cm-1")],
)
def test_positions_are_numbers_in_names(form, unit):
    names = [form.format(1000 + 2.5 * j) for j in range(20)]
    positions, found = channels([*names, "age", "sex"])
    assert list(positions.values()) == [1000 + 2.5 * j for j in range(20)]
    assert found == unit


@pytest.mark.parametrize(
    "names",
    [
        [f"gene{j}" for j in range(50)],
        [f"{j}" for j in range(19)],
        [f"{j}" for j in range(20)] + [f"other {j}a" for j in range(21)],
        [f"1e{j}" for j in range(30)],
    ],
)
def test_other_tables_are_no_spectra(names):
    assert channels(names) == ({}, "")


def test_windows_are_neighbours_whatever_the_order():
    shuffled = np.random.default_rng(0).permutation(NAMES).tolist()
    found = windows([*shuffled, "age"], 6)
    assert found == [NAMES[i : i + 6] for i in range(0, 40, 6)]
    assert windows(NAMES, None) == []


def spectra():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 40))
    y = np.arange(60) % 2
    X[:, 6:12] += 2.0 * y[:, np.newaxis]
    return pd.DataFrame(X, columns=NAMES).assign(kind=np.array(["a", "b"])[y])


def test_windows_are_selected_as_a_whole(tmp_path):
    out = tmp_path / "out"
    assert select(spectra(), "--windows", 6, "--out", out, plots=True) == 0
    kept = selected(out)
    groups = windows(NAMES, 6)
    assert set(groups[1]) <= kept
    assert all(kept.issuperset(g) or kept.isdisjoint(g) for g in groups)
    assert (out / "spectrum.png").exists()
    assert "Scores of the selected channels" in (out / "report.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--windows", "1"], "--windows: must be a whole number of at least 2"),
        (["--windows", "5"], "--windows needs 20 or more columns whose names are"),
        (["--windows", "5", "--feature-groups", "groups.csv"], "both make groups"),
    ],
)
def test_windows_that_are_refused(options, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frame = spectra().rename(columns=lambda name: name.replace("X", "gene"))
    frame.to_csv("table.csv", index=False)
    pd.DataFrame({"feature": ["gene1000.0"], "group": ["a"]}).to_csv("groups.csv")
    assert select("table.csv", *options) == 2
    assert message in capsys.readouterr().err


def test_scores_are_drawn_at_their_positions():
    result = make_result(n_features=40, n_selected=12, names=np.array(NAMES))
    assert "spectrum" in draw_plots(result, None)
    figure = Figure()
    draw_spectrum(result, figure)
    (ax,) = figure.axes
    segments = np.array(ax.collections[0].get_segments())
    np.testing.assert_allclose(segments[:, 1, 0], 1000 + 2.5 * np.arange(12))
    np.testing.assert_allclose(segments[:, 1, 1], result.scores[:12])
    assert "spectrum" not in draw_plots(make_result(), None)
