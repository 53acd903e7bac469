"""Plots of the report: SVG that takes the colours of the page, and PNG for files."""

import io
import re
import warnings

import numpy as np
from sklearn.calibration import calibration_curve
from sklearn.metrics import ConfusionMatrixDisplay, precision_recall_curve, roc_curve

from skproj.cli._channels import channels
from skproj.cli._report_numbers import is_separated, numbers_of_classes
from skproj.inspection import EtaPathDisplay, SupportDisplay, SurvivalCurvesDisplay
from skproj.utils._optional import import_optional
from skproj.utils._wording import shorten

DOTS_PER_INCH = 120
# Colours of classes in curves, in this order: those of Okabe and Ito, which people who
# are colour-blind can tell apart, and two more. They are seen on black and on white.
CLASS_COLORS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#a6761d",
    "#7570b3",
    "#66a61e",
    "#8c8c8c",
)
NEUTRAL_COLOR = CLASS_COLORS[-1]
# Curves of classes, more than colours; by these names the page has them as well.
LINES = [(s, color) for s in ("solid", "dashed", "dotted") for color in CLASS_COLORS]
# More points than this are an image within the plot.
MAX_VECTOR_POINTS = 2000
# More classes than this cannot be read in a matrix with numbers.
MAX_ANNOTATED_CLASSES = 15
N_CALIBRATION_BINS = 5
# Lines and letters that have the colour of the text of the page.
INK = "#010203"
IN_THE_PAGE = {
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.labelcolor": INK,
    "svg.fonttype": "none",
    "svg.hashsalt": "skproj",  # the same selection, the same file
}


def draw_plots(selection, path):
    """Return functions that draw the plots of a selection, by name.

    Each is given a figure. `path` is what `path_of` returns.
    """
    s = selection
    plots = {"features": lambda figure: draw_features(s, figure)}
    if channels(s.names)[0]:
        plots["spectrum"] = lambda figure: draw_spectrum(s, figure)
    if path is not None:
        plots["radius"] = lambda figure: draw_path(s, path, figure)
    if s.n_test:
        plots["test"] = lambda figure: draw_predictions(s, figure)
    if s.predictions.decisions is not None and s.n_test and ranked_classes(s):
        plots["curves"] = lambda figure: draw_curves(s, figure)
    if s.predictions.probabilities is not None and s.n_test:
        plots["calibration"] = lambda figure: draw_calibration(s, figure)
    return plots


def png_of(draw):
    return _render(draw, {}, format="png", dpi=DOTS_PER_INCH)


def svg_of(draw):
    """Return the drawing of a function as SVG for a page, without a background."""
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    svg = _render(draw, IN_THE_PAGE, format="svg", transparent=True, metadata=nothing)
    svg = svg[svg.index(b"<svg") :].decode("utf-8")
    svg = re.sub(rf"{INK}|#000000", "currentColor", svg)
    # The page says how wide it is.
    return re.sub(r'(<svg [^>]*?) width="[^"]*"', r"\1", svg, count=1).replace(
        ' height="', ' data-height="', 1
    )


def _render(draw, style, **options):
    # Without pyplot: no window, no figure that stays open.
    matplotlib = import_optional("matplotlib", extra="plot")
    figure_module = import_optional("matplotlib.figure", extra="plot")
    file = io.BytesIO()
    with matplotlib.rc_context(style), warnings.catch_warnings():
        # Boxes stand for letters of scripts that the font does not have.
        warnings.filterwarnings("ignore", "Glyph .* missing")
        figure = figure_module.Figure(figsize=(6.0, 3.4), layout="constrained")
        draw(figure)
        figure.savefig(file, **options)
    return file.getvalue()


def path_of(selection):
    """Return the radii that were tried as a display, or None if it was only one.

    The scores have the sign of those in the text, where a loss is positive.
    """
    s = selection
    if len(s.search.cv_results_["params"]) < 2:
        return None
    figure_module = import_optional("matplotlib.figure", extra="plot")
    path = EtaPathDisplay.from_estimator(
        s.search, score_name=s.cv_score_name, ax=figure_module.Figure().subplots()
    )
    if s.cv_score_name == "log loss":
        path.mean_scores = -path.mean_scores
    return path


def draw_path(selection, path, figure):
    s = selection
    path.plot(figure.subplots())
    handles = path.legend_.legend_handles
    labels = [text.get_text() for text in path.legend_.get_texts()]
    path.legend_.remove()
    eta = "∞" if np.isinf(s.eta) else f"{s.eta:.3g}"
    plural = "" if s.n_selected == 1 else "s"
    labels[-1] = f"chosen: η = {eta}, {s.n_selected} feature{plural}"
    figure.legend(handles, labels, loc="outside upper left", ncols=2, frameon=False)


def draw_features(selection, figure):
    s = selection
    figure.set_size_inches(6.0, 5.0)
    SupportDisplay(
        importances=s.scores,
        support=s.support,
        feature_names=s.names,
        importance_name="score",
    ).plot(figure.subplots())


def draw_spectrum(selection, figure):
    s = selection
    positions, unit = channels(s.names)
    places = np.array([positions.get(str(name), np.nan) for name in s.names])
    kept = s.support & np.isfinite(places)
    ax = figure.subplots()
    ax.vlines(places[kept], 0.0, s.scores[kept], color=CLASS_COLORS[0], linewidth=1.5)
    ends = np.nanmin(places), np.nanmax(places)
    margin = 0.02 * (ends[1] - ends[0])
    ax.set(xlim=(ends[0] - margin, ends[1] + margin), ylabel="Score")
    ax.set_ylim(bottom=0.0)
    ax.set_xlabel(unit or "Position, the number in the name of the column")
    ax.axhline(0.0, color=NEUTRAL_COLOR, linewidth=0.8)


def draw_predictions(selection, figure):
    s = selection
    y, predicted = s.predictions.y_test, s.predictions.y_predicted
    if s.task == "survival":
        figure.set_size_inches(6.0, 4.4)
        ax = figure.subplots()
        SurvivalCurvesDisplay.from_predictions(y, predicted, ax=ax, at_risk=True)
        ax.set_xlabel(s.target, parse_math=False)
        return
    figure.set_size_inches(6.0, 5.0)
    ax = figure.subplots()
    if not s.class_names:
        ax.axline((y[0], y[0]), slope=1.0, color=NEUTRAL_COLOR, linestyle="--")
        many = len(y) > MAX_VECTOR_POINTS
        ax.scatter(predicted, y, alpha=0.7, color=CLASS_COLORS[0], rasterized=many)
        ax.set(xlabel="Predicted", ylabel="True", aspect="equal", adjustable="datalim")
        return
    n_classes = len(s.class_names)
    ConfusionMatrixDisplay.from_predictions(
        *s.codes,
        labels=np.arange(n_classes),
        ax=ax,
        colorbar=n_classes > MAX_ANNOTATED_CLASSES,
        cmap="Blues",
        include_values=n_classes <= MAX_ANNOTATED_CLASSES,
    )
    labels = [shorten(name) for name in s.class_names]
    ticks = np.arange(n_classes)
    rotation = "vertical" if n_classes > 4 else "horizontal"
    ax.set_xticks(ticks, labels, parse_math=False, rotation=rotation)
    ax.set_yticks(ticks, labels, parse_math=False)


def ranked_classes(selection):
    """Return the places of the classes that have curves, which is one of two."""
    s = selection
    counts = np.bincount(s.codes[0], minlength=len(s.class_names))
    places = [i for i, n in enumerate(counts) if 0 < n < s.n_test]
    return [s.positive] if places and s.positive is not None else places


def draw_scores(selection, figure):
    """Draw histograms of scores: of one class of two, or each class against the rest.

    These are for classes that are apart, whose curves are corners.
    """
    s = selection
    true, _ = s.codes
    places = ranked_classes(s)
    decisions = s.predictions.decisions[:, places]
    ax = figure.subplots()
    parts, labels = [], []
    if len(places) == 1:
        for i, name in enumerate(s.class_names):
            parts.append(decisions[true == i, 0])
            labels.append(shorten(name))
    else:
        is_own = true[:, np.newaxis] == places
        parts, labels = [decisions[is_own], decisions[~is_own]], ["own class", "others"]
    bins = np.histogram_bin_edges(np.concatenate(parts), bins=20)
    for color, (part, label) in enumerate(zip(parts, labels, strict=True)):
        options = {"color": CLASS_COLORS[color], "alpha": 0.6, "label": label}
        ax.hist(part, bins=bins, **options)
    name = "" if s.positive is None else f" of {shorten(s.class_names[s.positive])}"
    kind = "Probability" if s.predictions.probabilities is not None else "Score"
    ax.set(ylabel="Rows")
    ax.set_xlabel(f"{kind}{name}", parse_math=False)
    figure.legend(loc="outside upper left", ncols=2, frameon=False)


def draw_curves(selection, figure):
    s = selection
    true, _ = s.codes
    figure.set_size_inches(6.0, 3.1)
    if is_separated(numbers_of_classes(s)["classes"]):
        draw_scores(s, figure)
        return
    left, right = figure.subplots(1, 2)
    for i in ranked_classes(s):
        line = dict(zip(("linestyle", "color"), LINES[i % len(LINES)], strict=True))
        decision = s.predictions.decisions[:, i]
        false_rate, true_rate, _ = roc_curve(true == i, decision)
        left.plot(false_rate, true_rate, **line)
        precision, recall, _ = precision_recall_curve(true == i, decision)
        right.plot(recall, precision, **line, drawstyle="steps-post")
    left.plot([0, 1], [0, 1], color=NEUTRAL_COLOR, linestyle=":")
    left.set(xlabel="False positive rate", ylabel="True positive rate", title="ROC")
    right.set(xlabel="Recall", ylabel="Precision", title="Precision and recall")
    for ax in (left, right):
        ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")


def draw_calibration(selection, figure):
    """Draw how often one class of two, or the likeliest of more, is true."""
    s = selection
    (true, _), probabilities = s.codes, s.predictions.probabilities
    claimed, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == true
    name = "the most probable class"
    if s.positive is not None:
        claimed, right = probabilities[:, s.positive], true == s.positive
        name = shorten(s.class_names[s.positive])
    share, mean = calibration_curve(
        right, claimed, n_bins=N_CALIBRATION_BINS, strategy="quantile"
    )
    ax = figure.subplots()
    ax.plot([0, 1], [0, 1], color=NEUTRAL_COLOR, linestyle=":", label="as claimed")
    ax.plot(mean, share, color=CLASS_COLORS[0], marker="o", label="fifths of the rows")
    ax.set_xlabel(f"Probability of {name}", parse_math=False)
    ax.set_ylabel(f"Share of rows of {name}", parse_math=False)
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    ax.legend(frameon=False)
