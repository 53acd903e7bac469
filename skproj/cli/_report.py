"""Output files of a selection: tables, plots, the model and an HTML report."""

import json

from skproj import persistence
from skproj.cli._output import write_rows
from skproj.cli._page import render
from skproj.cli._plots import draw_plots, path_of, png_of, svg_of
from skproj.cli._report_numbers import plain, report_numbers
from skproj.cli._result import rounded

FILES = (
    *("features.csv", "features.json", "model.skops", "report.html", "report.json"),
    *("radius.png", "features.png", "test.png", "curves.png", "calibration.png"),
    "spectrum.png",
)


def write_report(folder, selection, facts, options):
    persistence.dump(selection.model, folder / "model.skops")
    rows = feature_rows(selection)
    write_rows(rows, folder / "features.csv")
    write_json(folder / "features.json", plain(rows))
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
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, indent=1)
    path.write_text(text + "\n", encoding="utf-8")


def feature_rows(selection):
    """Return a dict for each feature, the most important first.

    There is more about those that are selected.
    """
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
            "frequency": None if s.frequencies is None else float(s.frequencies[j]),
        }
        if s.q_values is not None:
            row["q_value"] = float(s.q_values[j])
        if (feature := details.get(row["feature"])) is not None:
            row["direction"] = feature.direction
            row["substitutes"] = "; ".join(
                f"{other['name']} ({rounded(other['correlation'], 2)})"
                for other in feature.substitutes
            )
            for group in feature.groups:
                row[f"mean {group['label']}"] = group["mean"]
                row[f"spread {group['label']}"] = group["spread"]
        rows.append(row)
    return rows
