"""A panel from a fitted estimator, and the file that predicts from it."""

import itertools
import pprint
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.feature_selection import SelectorMixin
from sklearn.model_selection import FixedThresholdClassifier

from skproj._version import __version__
from skproj.persistence._estimators import write
from skproj.persistence._panel import _text_tables
from skproj.persistence._panel._features import Feature, NotExportable, trace
from skproj.persistence._panel._heads import (
    describe_predictor,
    describe_threshold,
    inputs_of,
    is_autoencoder,
)
from skproj.utils._pipelines import steps_of
from skproj.utils._validation import check_is_fitted

# The file with the predictions is this module with numbers in two of its lines, and
# the rules by which tables are read in place of their import.
TEMPLATE = Path(__file__).with_name("_model.py")
RULES = Path(_text_tables.__file__)
RULES_IMPORT = re.compile(r"from [\w.]+\._text_tables import \([^)]*\)\n")
PANEL_LINE = (
    "PANEL = {}  # the columns and the classes; MODEL, at the end, has the other "
    "numbers\n"
)
MODEL_LINE = "MODEL = {}\n"


@dataclass(frozen=True)
class Panel:
    """The columns that a fitted estimator needs, and what it makes of them."""

    columns: list  # names of those of the table that the estimator was fitted to
    features: list  # of `Feature`: those that the predictions depend on
    model: dict  # its "parts", of `describe_predictor`, and perhaps a "threshold"
    classes: list | None  # None for a regression

    @property
    def formula(self):
        """Coefficients of shape (n_outputs, n_features) and intercepts, or None.

        None if it is not a single linear model. One output for a regression and two
        classes.
        """
        part, *others = self.model["parts"]
        if others or len(part["layers"]) > 1:
            return None
        coef, intercept = part["layers"][0]["weight"], part["layers"][0]["bias"]
        if self.classes is None:
            return coef * part["scale"], intercept * part["scale"] + part["center"]
        if len(self.classes) == 2:
            return coef[1:] - coef[:1], intercept[1:] - intercept[:1]
        return coef, intercept


def export_panel(estimator, path, *, directions=None):
    """Write a fitted model as a Python file that needs only NumPy.

    The file predicts from a table with the selected columns alone: imported, from a
    data frame or a dict of columns; as a program, ``python FILE table.csv``, from a
    table of text. It needs neither skproj nor scikit-learn nor PyTorch.

    Parameters
    ----------
    estimator : estimator object
        A pipeline, fitted to a data frame. It ends with a sparse supervised
        autoencoder, a LogisticRegression or linear regressor of scikit-learn, or a mean
        of these: a VotingRegressor, or a VotingClassifier with ``voting="soft"``.
        Before, there may be selectors, scalers, a SimpleImputer, a OneHotEncoder and a
        ColumnTransformer of these. Around it, there may be a FixedThresholdClassifier.
        Of a search, the best estimator is taken.
    path : str or path-like
        Where to write, by habit with the suffix ``.py``. A file that is there is
        replaced, at once and only when all is written.
    directions : mapping, default=None
        For names of features, the class in which they are high, or a word like "+", to
        be written beside them: a dict or a Series.

    Raises
    ------
    ValueError
        If the estimator does not know the names of its columns, holds a step that is
        not possible, or selects no feature.
    NotFittedError
        If the estimator is not fitted.
    FileNotFoundError
        If the folder is missing.

    See Also
    --------
    dump : Save the estimator itself.

    Notes
    -----
    The file computes in float64. Its predictions are those of the estimator up to
    rounding: about 1e-14 if the estimator computes in float64, and below 1e-6 for
    probabilities of a network in float32. A pipeline that gets columns in float32 also
    standardises them so, which loses digits where the mean is large.

    The probabilities of a mean of models are the mean of theirs, by their weights: the
    sum rule of [1]_.

    References
    ----------
    .. [1] J. Kittler, M. Hatef, R. P. W. Duin, J. Matas, "On combining classifiers",
       IEEE Transactions on Pattern Analysis and Machine Intelligence 20(3), 1998,
       :doi:`10.1109/34.667881`.

    Examples
    --------
    >>> import runpy
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skproj import ProjectionFeatureSelector
    >>> from skproj.persistence import export_panel
    >>> X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    >>> selector = ProjectionFeatureSelector(n_features_to_select=3)
    >>> model = make_pipeline(StandardScaler(), selector, LogisticRegression())
    >>> model = model.fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "panel_model.py"
    ...     export_panel(model, path)
    ...     panel = runpy.run_path(path)
    >>> panel["columns"]()
    ['mean concave points', 'worst radius', 'worst concave points']
    >>> selected = X[panel["columns"]()]
    >>> np.allclose(panel["predict_proba"](selected), model.predict_proba(X), atol=1e-9)
    True
    """
    panel = describe_panel(estimator)
    directions = {} if directions is None else dict(directions.items())
    details = {name: {"direction": str(label)} for name, label in directions.items()}
    write(panel_source(panel, details).encode("utf-8"), path)


def describe_panel(estimator):
    """Return the `Panel` of an estimator, or raise the errors of `export_panel`."""
    check_is_fitted(estimator)
    estimator = getattr(estimator, "best_estimator_", estimator)
    name = type(estimator).__name__
    columns = getattr(estimator, "feature_names_in_", None)
    if columns is None:
        raise ValueError(
            f"This {name} cannot be exported: it does not know the names of its "
            "columns, because it was not fitted to a data frame."
        )
    try:
        features = needed_features(estimator, columns)
        last = steps_of(estimator)[-1]
        parts = describe_predictor(last)
    except NotExportable as error:
        raise ValueError(f"This {name} cannot be exported: {error}.") from None
    if len(features) == 0:
        raise ValueError(f"This {name} cannot be exported: it selects no feature.")
    for part in parts:
        first = part["layers"][0]
        taken = inputs_of(last, n_features=first["weight"].shape[1])
        first["weight"] = first["weight"][:, taken]
    model = {"parts": parts}
    if isinstance(estimator, FixedThresholdClassifier):
        model["threshold"] = describe_threshold(estimator)
    classes = last.classes_.tolist() if hasattr(last, "classes_") else None
    return Panel([str(column) for column in columns], features, model, classes)


def needed_features(estimator, columns):
    """Return the list of `Feature` that the predictions of an estimator depend on.

    Errors are those of `trace`.
    """
    *before, last = steps_of(estimator)
    features = [Feature(name, j) for j, name in enumerate(columns)]
    for step in before:
        features = trace(step, features)
    if isinstance(last, SelectorMixin):
        return trace(last, features)
    if is_autoencoder(last):
        pairs = zip(features, last.feature_importances_, strict=True)
        features = [feature._replace(importance=value) for feature, value in pairs]
    return list(itertools.compress(features, inputs_of(last, len(features))))


def feature_rows(panel, details=None):
    """Return a dict of plain values for each feature of a panel, in its order.

    `details` has dicts of further items, by the name of the feature.
    """
    formula, rows = panel.formula, []
    for j, f in enumerate(panel.features):
        name = str(f.name)
        row = {"name": name, "column": panel.columns[f.column], "kind": f.kind}
        if f.kind == "category":
            row["category"] = f.category
        if f.known is not None:
            row["known"] = list(f.known)
        if f.fill is not None:
            row["fill"] = f.fill
        row["center"], row["scale"] = f.center, f.scale
        if not np.isnan(f.importance):  # no more digits than in its precision
            row["importance"] = float(str(f.importance))
        if formula is not None:
            row["coefficients"] = formula[0][:, j].tolist()
        rows.append({**row, **(details or {}).get(name, {})})
    return rows


def panel_source(panel, details=None, **facts):
    """Return the source of a program that predicts from a panel.

    `details` are those of `feature_rows`, `facts` further items of its ``PANEL``.
    """
    formula = panel.formula
    intercepts = {} if formula is None else {"intercepts": formula[1].tolist()}
    about = {
        "written by": f"skproj {__version__}",
        **facts,
        "classes": panel.classes,
        **intercepts,
        "features": feature_rows(panel, details),
    }
    model = {**panel.model, "parts": list(map(as_lists, panel.model["parts"]))}
    source = TEMPLATE.read_text(encoding="utf-8")
    _, _, rules = RULES.read_text(encoding="utf-8").partition('"""\n\n')
    source = RULES_IMPORT.sub(lambda _: rules, source, count=1)
    parts = ("PANEL", PANEL_LINE, about), ("MODEL", MODEL_LINE, model)
    for name, line, values in parts:
        before, _, after = source.partition(line)
        # repr keeps names of any characters within their quotes.
        text = pprint.pformat(values, width=80, compact=True, sort_dicts=False)
        source = f"{before}{name} = {text}\n{after}"
    return source


def as_lists(part):
    """Return a part with lists for arrays, in as few digits as are exact."""
    layers = part["layers"]
    dtype = np.result_type(*(array for layer in layers for array in layer.values()))
    layers = [
        {
            name: array.astype(dtype).astype(str).astype(float).tolist()
            for name, array in layer.items()
        }
        for layer in layers
    ]
    return {**part, "dtype": dtype.name, "layers": layers}
