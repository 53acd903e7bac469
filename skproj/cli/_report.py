"""Output files of a selection: tables, plots, the model and an HTML report."""

import csv
import json

from skproj import persistence
from skproj.cli._output import as_cell
from skproj.cli._page import render
from skproj.cli._plots import draw_plots, path_of, png_of, svg_of
from skproj.cli._report_numbers import plain, report_numbers

PLOTS = ("radius.png", "features.png", "test.png", "curves.png", "calibration.png")
FILES = (
    "features.csv",
    "features.json",
    "model.skops",
    "report.html",
    "report.json",
    *PLOTS,
)


def write_report(folder, selection, facts, options):
    """Write the results of a selection into a folder; `facts` are about the data."""
    persistence.dump(selection.model, folder / "model.skops")
    write_features(folder, selection)
    path = path_of(selection)
    plots = draw_plots(selection, path)
    for name, draw in plots.items():
        (folder / f"{name}.png").write_bytes(png_of(draw))
    numbers = report_numbers(selection, path, facts, options)
    write_json(folder / "report.json", numbers)
    # The page has the features, and the confusion of classes, as tables.
    tables = ("features", "test") if selection.class_names else ("features",)
    figures = {name: svg_of(draw) for name, draw in plots.items() if name not in tables}
    (folder / "report.html").write_text(render(numbers, figures), encoding="utf-8")


def write_json(path, content):
    """Write plain values as JSON."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, indent=1)
    path.write_text(text + "\n", encoding="utf-8")


def write_features(folder, selection):
    """Write tables with a row for each feature, the most important first."""
    rows = feature_rows(selection)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with open(folder / "features.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(map(as_cell, columns))
        for row in rows:
            writer.writerow(as_cell(row.get(name)) for name in columns)
    write_json(folder / "features.json", plain(rows))


def feature_rows(selection):
    """Return a dict for each feature, with more about those that are selected."""
    s = selection
    # Equal scores, as those of all features that were not selected, share a rank.
    rank = {}
    for place, j in enumerate(s.ranking, start=1):
        rank.setdefault(s.scores[j], place)
    details = {feature.name: feature for feature in s.features}
    rows = []
    for j in s.ranking:
        row = {
            "feature": str(s.names[j]),
            "rank": rank[s.scores[j]],
            "selected": bool(s.support[j]),
            "score": float(str(s.scores[j])),  # no more digits than in its precision
        }
        if s.frequencies is not None:
            row["frequency"] = float(s.frequencies[j])
        if (feature := details.get(row["feature"])) is not None:
            row["direction"] = feature.direction
            row["substitutes"] = substitutes_of(feature)
            for group in feature.groups:
                row[f"mean {group.label}"] = float(group.mean)
                row[f"spread {group.label}"] = float(group.spread)
        rows.append(row)
    return rows


def substitutes_of(feature):
    """Return names and correlations as text."""
    return "; ".join(f"{name} ({r:.2f})" for name, r in feature.substitutes)
