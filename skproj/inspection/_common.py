"""Axes, colours, names and docstrings of the displays, and access to estimators."""

import warnings

import numpy as np
from sklearn.pipeline import make_pipeline

from skproj.utils._optional import import_optional
from skproj.utils._pipelines import steps_of
from skproj.utils._validation import check_is_fitted
from skproj.utils._wording import short_names

# Greys, and the colours of Okabe and Ito, which colour-blind readers can tell apart.
KEPT_COLOR, CONTRAST_COLOR = "#0072B2", "#D55E00"
PALETTE = (KEPT_COLOR, "#E69F00", "#009E73", CONTRAST_COLOR)
PALETTE += ("#CC79A7", "#56B4E9", "#000000", "#999999")
KEPT = {"facecolor": KEPT_COLOR, "edgecolor": KEPT_COLOR}
REMOVED = {"facecolor": "#D9D9D9", "edgecolor": "0.5", "hatch": "////"}

# Inches for a bar with its name beside it, and for what is above and below the bars.
BAR_HEIGHT, BARS_MARGIN = 0.2, 1.0

# Inches of axes that have room for a legend of two columns above.
TWO_COLUMN_WIDTH = 4.5


DOCS = {
    "ax": """
    ax : matplotlib Axes, default=None
        Where to draw; None makes a new figure, as high as it has to be.
    """,
    "drawn": "{ax}\n\n{display}",
    "plot": "Parameters\n----------\n{drawn}",
    "axes": """
    ax_ : matplotlib Axes
        Axes of the plot.
    figure_ : matplotlib Figure
        Its figure.
    {legend}
    """,
    "legend": """
    legend_ : matplotlib Legend
        The legend, above the axes or beside them.
    """,
    "display": """
    Returns
    -------
    display : display object
        The display itself, drawn.
    """,
    "not_fitted": """
    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    """,
}


def new_axes(n_panels=1, *, n_bars=0):
    """Return the axes of a new figure, one below the other, with room for bars."""
    pyplot = import_optional("matplotlib.pyplot", extra="plot")
    width, height = pyplot.rcParams["figure.figsize"]
    size = width, max(height, BARS_MARGIN + BAR_HEIGHT * n_bars)
    figure = pyplot.figure(figsize=size, layout="constrained")
    return figure.subplots(n_panels, squeeze=False)[:, 0]


def single_axes(ax, *, n_bars=0):
    """Return the given axes, or those of a new figure for None."""
    if ax is None:
        return new_axes(n_bars=n_bars)[0]
    if not hasattr(ax, "figure"):
        raise TypeError(
            f"ax must be the axes of one plot, got {type(ax).__name__} instead."
        )
    return ax


def whole_ticks(axis):
    """Label whole numbers only, be it a single one."""
    axis.get_major_locator().set_params(integer=True, min_n_ticks=1)


def label_bars(ax, names):
    # A dollar sign in the name of a feature is no mathematics.
    ax.set_yticks(np.arange(len(names)), short_names(names), parse_math=False)
    ax.set_ylim(len(names) - 0.4, -0.6)


def looks(n_groups, kinds):
    """Return a colour and one of the other kinds for each of some groups or classes.

    None are the same, if the numbers of kinds and of colours have no common divisor.
    """
    n_looks = len(PALETTE) * len(kinds)
    if n_groups > n_looks:
        warnings.warn(
            f"A plot can tell {n_looks} classes or groups apart, got {n_groups}: the "
            "looks of the first ones repeat.",
            stacklevel=4,
        )
    indices = np.arange(n_groups)
    pairs = zip(indices % len(PALETTE), indices % len(kinds), strict=True)
    return [(PALETTE[i], kinds[j]) for i, j in pairs]


def legend_above(ax, handles):
    """Add a legend above the axes, where it covers nothing."""
    # A layout would make narrow axes vanish beside a broad legend.
    n_columns = 1 if ax.bbox.width / ax.figure.dpi < TWO_COLUMN_WIDTH else 2
    place = {"loc": "lower left", "bbox_to_anchor": (0.0, 1.0), "frameon": False}
    return ax.legend(handles=handles, ncols=n_columns, **place)


def spans_decades(numbers):
    """Whether positive finite numbers are better shown on a logarithmic axis."""
    return len(numbers) > 0 and 0 < 10 * numbers.min() <= numbers.max()


def find_step(estimator, suits, needed):
    """Look for what a display needs in a fitted estimator, pipeline or search.

    Returns the last step that `suits`, also of a pipeline in a search or the other way
    round, and the `Pipeline` of the steps before it, or None. If there is nothing that
    suits, a TypeError says what is `needed`.
    """
    check_is_fitted(estimator)
    step, before = _look_inside(estimator, suits)
    if step is None:
        raise TypeError(
            f"estimator must have {needed}; this {type(estimator).__name__} has not."
        )
    return step, make_pipeline(*before) if before else None


def names_of_features(step, before, n_features, given=None):
    """Return the names of the features that a step sees, as an array of strings.

    `step` and `before` come from `find_step`; `given` are the names given by the user.
    """
    if given is None:
        given = getattr(step, "feature_names_in_", None)
    if given is None:
        try:
            given = before.get_feature_names_out()
        except AttributeError:  # nothing before, or transformers that know no names
            given = [f"x{i}" for i in range(n_features)]
    names = np.asarray(given, dtype=str)
    if names.shape != (n_features,):
        raise ValueError(
            f"feature_names must be {n_features} names, one for each feature, got an "
            f"array of shape {names.shape}."
        )
    return names


# Where estimators keep their weights, and how these become (n_outputs, n_inputs).
_WEIGHTS = {
    "encoder_weights_": lambda W: [W],
    "coefs_": lambda matrices: [W.T for W in matrices],
    "coef_": lambda W: [np.atleast_2d(W.toarray() if hasattr(W, "toarray") else W)],
    "components_": lambda W: [W],
}


def first_of(step, names):
    return next((name for name in names if hasattr(step, name)), None)


def find_weights(estimator):
    """Return where a fitted estimator has weights, an attribute, and those by layers.

    They are looked for as `find_step` does, and have the shape (n_outputs, n_inputs).
    """
    needed = f"weights ({', '.join(_WEIGHTS)})"
    step, _ = find_step(estimator, lambda step: first_of(step, _WEIGHTS), needed)
    attribute = first_of(step, _WEIGHTS)
    return attribute, _WEIGHTS[attribute](getattr(step, attribute))


def _look_inside(model, suits):
    """Return the part of a model that suits, or None, and the steps before it.

    It may be the last step that suits of a pipeline, and in a search.
    """
    if suits(model):
        return model, []
    if hasattr(model, "best_estimator_"):
        return _look_inside(model.best_estimator_, suits)
    steps = steps_of(model)
    if steps == [model]:
        return None, []
    for i in reversed(range(len(steps))):
        step, before = _look_inside(steps[i], suits)
        if step is not None:
            return step, [*steps[:i], *before]
    return None, []
