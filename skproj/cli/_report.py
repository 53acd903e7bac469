"""Output files of a selection: tables, plots, the model and an HTML report."""

import base64
import csv
import datetime
import io
import json
import platform
import shlex
import warnings
from html import escape

import numpy as np
from sklearn.metrics import ConfusionMatrixDisplay, PredictionErrorDisplay

from skproj import persistence
from skproj.cli._info import describe_model, versions
from skproj.cli._output import as_cell
from skproj.cli._summary import write_summary
from skproj.inspection import EtaPathDisplay, SupportDisplay, WeightsDisplay
from skproj.utils._optional import import_optional

PLOTS = {
    "radius.png": "Score in the cross-validation, and number of features, against the "
    "radius",
    "features.png": "The most important features",
    "weights.png": "Weights of all features, those of the largest first",
    "test.png": "Predictions for the rows that were held out",
}
FILES = ("features.csv", "features.json", "model.skops", "report.html", *PLOTS)

DOTS_PER_INCH = 120
N_REPORTED_FEATURES = 50

# More classes than this cannot be read in a matrix with numbers.
MAX_ANNOTATED_CLASSES = 15


def write_report(folder, selection, facts, options):
    """Write the results of a selection into a folder; `facts` are about the data."""
    persistence.dump(selection.model, folder / "model.skops")
    write_summary(folder / "model.skops", describe_model(selection.model))
    write_features(folder, selection)
    plots = draw_plots(selection)
    for name, png in plots.items():
        (folder / name).write_bytes(png)
    page = make_page(selection, facts, options, plots)
    (folder / "report.html").write_text(page, encoding="utf-8")


def write_features(folder, selection):
    """Write tables with a row for each feature, the most important first."""
    s = selection
    # Equal scores, as those of all features that were not selected, share a rank.
    rank = {}
    for place, j in enumerate(s.ranking, start=1):
        rank.setdefault(s.scores[j], place)
    rows = [
        {
            "feature": s.names[j],
            "rank": rank[s.scores[j]],
            "selected": bool(s.support[j]),
            "score": float(str(s.scores[j])),  # no more digits than in its precision
        }
        for j in s.ranking
    ]
    with open(folder / "features.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row, "feature": as_cell(row["feature"])} for row in rows)
    text = json.dumps(rows, ensure_ascii=False, indent=1)
    (folder / "features.json").write_text(text + "\n", encoding="utf-8")


def draw_plots(selection):
    """Return the plots as PNG, by the names of their files."""
    s = selection
    step = s.model["select"]
    plots = {}
    if len(s.search.cv_results_["params"]) > 1:
        name = s.cv_score_name
        name = "minus log loss" if name == "log loss" else name
        plots["radius.png"] = png_of(
            lambda ax: EtaPathDisplay.from_estimator(s.search, score_name=name, ax=ax)
        )
    plots["features.png"] = png_of(
        lambda ax: SupportDisplay.from_estimator(step, feature_names=s.names, ax=ax),
        height=5.0,
    )
    # A single row of weights says no more than the scores.
    if not hasattr(step, "coef_") or len(step.coef_) > 1:
        plots["weights.png"] = png_of(
            lambda ax: WeightsDisplay.from_estimator(step, order="norm", ax=ax)
        )
    if s.n_test:
        plots["test.png"] = png_of(lambda ax: draw_predictions(s, ax), height=5.0)
    return plots


def draw_predictions(selection, ax):
    """Draw the confusion of classes, or predictions against true values."""
    y, predicted = selection.y_test, selection.y_predicted
    if hasattr(selection.model, "classes_"):
        n_classes = len(selection.model.classes_)
        display = ConfusionMatrixDisplay.from_predictions(
            y,
            predicted,
            ax=ax,
            colorbar=False,
            cmap="Blues",
            include_values=n_classes <= MAX_ANNOTATED_CLASSES,
            xticks_rotation="vertical" if n_classes > 4 else "horizontal",
        )
        labels = [str(label) for label in display.display_labels]
        ax.set_xticks(np.arange(len(labels)), labels, parse_math=False)
        ax.set_yticks(np.arange(len(labels)), labels, parse_math=False)
    else:
        PredictionErrorDisplay.from_predictions(
            y, predicted, kind="actual_vs_predicted", ax=ax
        )


def png_of(draw, height=4.0):
    """Return the drawing of a function as PNG; the function is given the axes."""
    # Without pyplot: no window, no figure that stays open.
    figure_module = import_optional("matplotlib.figure", extra="plot")
    figure = figure_module.Figure(figsize=(7.0, height), layout="constrained")
    draw(figure.subplots())
    png = io.BytesIO()
    with warnings.catch_warnings():
        # Boxes stand for letters of scripts that the font does not have.
        warnings.filterwarnings("ignore", "Glyph .* missing")
        figure.savefig(png, dpi=DOTS_PER_INCH)
    return png.getvalue()


STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 50rem;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; }
h2 { font-size: 1.2rem; margin-top: 2rem; border-bottom: 1px solid #ccc; }
.result { font-size: 1.1rem; background: #eef5fa; border-left: 4px solid #0072b2;
  padding: 0.6rem 1rem; }
table { border-collapse: collapse; }
th, td { text-align: left; padding: 0.15rem 1rem 0.15rem 0; vertical-align: top;
  overflow-wrap: anywhere; }
thead th { border-bottom: 1px solid #999; }
tbody th { font-weight: normal; color: #555; white-space: nowrap; }
tr.first td { font-weight: bold; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
figure { margin: 1rem 0; }
figcaption { color: #555; }
img { max-width: 100%; }
pre { background: #f5f5f5; padding: 0.6rem 1rem; white-space: pre-wrap;
  overflow-wrap: anywhere; }
"""


def make_page(selection, facts, options, plots):
    """Return the report: one HTML page that needs no other file."""
    s = selection
    title = f"Features that predict {facts['target']}"
    result = (
        f"{s.n_selected} of {len(s.names)} features were selected, at the radius "
        f"eta = {s.eta:.4g}. Cross-validated {s.cv_score_name}: {s.cv_score:.3f} "
        f"(standard deviation over {options.cv} folds: {s.cv_std:.3f})."
    )
    if s.comparison:
        metric, score = next(iter(s.comparison[0][2].items()))
        result += f" On the rows that were held out: {metric} {score:.3f}."
    result = " ".join([result, *s.remarks])
    body = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{escape(facts['data'])}, {facts['rows']} rows and {facts['features']} "
        "features</p>",
        f'<p class="result">{escape(result)}</p>',
        *comparison_section(s),
        "<h2>Selected features</h2>",
        features_table(s),
        "<h2>Plots</h2>",
        *(figure(PLOTS[name], png) for name, png in plots.items()),
        "<h2>What was done</h2>",
        f"<p>{escape(procedure(s, options))}</p>",
        key_table({**facts, **settings(options)}),
        f"<pre>{escape(shlex.join(options.command_line))}</pre>",
        f"<pre>{escape(repr(s.model))}</pre>",
        "<h2>Versions</h2>",
        key_table({**versions(), "system": platform.platform()}),
        f"<p>Written {datetime.datetime.now().astimezone():%Y-%m-%d %H:%M %Z}.</p>",
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def procedure(selection, options):
    """Return sentences on how the scores were computed."""
    s = selection
    how = (
        f"fixed at {s.eta:.4g}"
        if options.eta is not None
        else f"chosen by cross-validation with {options.cv} folds on these rows"
    )
    text = (
        f"The model was fitted to {s.n_train} rows, and its radius was {how}. It is "
        "the model in model.skops, and features.csv and the plots are about it. "
    )
    if s.n_test:
        return text + (
            f"The scores are those for the {s.n_test} rows that were held out, which "
            "neither the choice of the radius nor the training has seen. The models "
            "without selection were fitted to the same rows as it was."
        )
    return text + (
        "No rows were held out. The cross-validated score has been used to choose the "
        "radius, and is a little too good."
    )


def settings(options):
    """Return the options that change the result."""
    return {
        "radius": "cross-validated" if options.eta is None else options.eta,
        "rule": options.rule,
        "folds": options.cv,
        "share of rows held out": options.test_size,
        "seed": options.seed,
        "columns left out": ", ".join(options.drop) or "none",
        **({"layer": options.layer} if options.layer is not None else {}),
    }


def comparison_section(selection):
    """Return the table of models and scores, if rows were held out."""
    s = selection
    if not s.comparison:
        return []
    metrics = list(s.comparison[0][2])
    head = "".join(f'<th class="number">{escape(m)}</th>' for m in metrics)
    rows = []
    for i, (name, number, scores) in enumerate(s.comparison):
        cells = "".join(f'<td class="number">{scores[m]:.3f}</td>' for m in metrics)
        mark = ' class="first"' if i == 0 else ""
        rows.append(
            f'<tr{mark}><td>{escape(name)}</td><td class="number">{number}</td>'
            f"{cells}</tr>"
        )
    return [
        f"<h2>Scores for the {s.n_test} rows that were held out</h2>",
        '<table><thead><tr><th>model</th><th class="number">features</th>'
        f"{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>",
    ]


def features_table(selection):
    """Return the table of the most important features."""
    s = selection
    shown = s.ranking[: min(N_REPORTED_FEATURES, s.n_selected)]
    rows = "".join(
        f'<tr><td class="number">{place}</td><td>{escape(s.names[j])}</td>'
        f'<td class="number">{s.scores[j]:.4g}</td></tr>'
        for place, j in enumerate(shown, start=1)
    )
    left_out = s.n_selected - len(shown)
    more = f"<p>features.csv has the other {left_out}.</p>" if left_out else ""
    return (
        '<table><thead><tr><th class="number">rank</th><th>feature</th>'
        f'<th class="number">score</th></tr></thead><tbody>{rows}</tbody></table>{more}'
    )


def key_table(lines):
    """Return a table of names and values."""
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(str(value))}</td></tr>"
        for name, value in lines.items()
    )
    return f"<table><tbody>{rows}</tbody></table>"


def figure(caption, png):
    """Return a plot that is part of the page."""
    data = base64.b64encode(png).decode("ascii")
    return (
        f'<figure><img src="data:image/png;base64,{data}" alt="{escape(caption)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )
