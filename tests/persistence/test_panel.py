"""Exported panels predict as the model does, without its libraries."""

import ast

import numpy as np
import pandas as pd
import pytest
from panel_helpers import make_gaps, make_table, predict_apart
from sklearn.base import is_classifier
from sklearn.compose import (
    ColumnTransformer,
    make_column_transformer,
)
from sklearn.ensemble import VotingClassifier, VotingRegressor
from sklearn.feature_selection import VarianceThreshold
from sklearn.frozen import FrozenEstimator
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import ElasticNet, LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    MaxAbsScaler,
    OneHotEncoder,
    PowerTransformer,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from skproj import (
    ProjectionFeatureSelector,
    SparseMLPClassifier,
    SparseSupervisedAutoencoder,
    SparseSupervisedAutoencoderRegressor,
)
from skproj.persistence import dump, export_panel, load

# What float64 leaves of equal formulas; float32 has 7 digits.
DOUBLE, SINGLE = 1e-12, 1e-6


def select(n=4, **options):
    return ProjectionFeatureSelector(n_features_to_select=n, **options)


def assert_same(model, X, path, *, atol=DOUBLE, apart=False):
    """Compare all that a model predicts with what its panel does with less columns.

    It may be `apart`, in a process that can import nothing but NumPy.
    """
    export_panel(model, path)
    needed = needed_columns(path)
    assert len(needed) < X.shape[1]
    shuffled = X[needed[::-1]].assign(note="text")
    methods = "predict", "predict_proba", "decision_function"
    names = [name for name in methods if hasattr(model, name)]
    if apart:
        found = predict_apart(path, shuffled, *names)
    else:
        panel = predict_free(path)
        columns = {name: shuffled[name].tolist() for name in shuffled}
        found = {name: panel[name](columns) for name in names}
    for name in names:
        expected = getattr(model, name)(in_double(X))
        if expected.dtype.kind == "f":
            scale = max(1.0, np.abs(expected).max())
            np.testing.assert_allclose(found[name], expected, rtol=0, atol=atol * scale)
        else:
            assert found[name].tolist() == expected.tolist()


def in_double(X):
    """Return a table that the steps before a network do not round."""
    return X.astype({name: np.float64 for name in X.select_dtypes(np.float32)})


def needed_columns(path):
    return predict_free(path)["columns"]()


def predict_free(path):
    """Return the names of a panel, here."""
    names = {"__name__": "panel"}
    exec(compile(path.read_text("utf-8"), path, "exec"), names)
    return names


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_linear_selector_for_classes(class_weight, n_classes, tmp_path):
    X, y = make_table(n_classes)
    last = LogisticRegression(class_weight=class_weight)
    model = make_pipeline(StandardScaler(), select(), last).fit(X[5:], y[5:])
    assert_same(model, X, tmp_path / "panel.py")


@pytest.mark.parametrize(
    ("scaler", "last"),
    [
        (RobustScaler(), ElasticNet()),
        (RobustScaler(with_scaling=False), Ridge()),
        (StandardScaler(with_std=False), Ridge()),
        (StandardScaler(with_mean=False), LinearRegression()),
    ],
    ids=["elastic net", "ridge", "centred", "linear"],
)
def test_linear_selector_for_numbers(scaler, last, tmp_path):
    X, y = make_table()
    y = 1e4 * (y == "red") + X["gene 1"]
    model = make_pipeline(scaler, select(), last).fit(X, y)
    assert_same(model, X, tmp_path / "panel.py")


ACTIVATIONS = ["silu", "relu", "gelu", "tanh", "logistic", "identity"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_autoencoder_for_classes(activation, dtype, tmp_path):
    n_classes = 2 if activation == "tanh" else 3
    X, y = make_table(n_classes, dtype)
    network = SparseSupervisedAutoencoder(
        (20, 10) if activation == "gelu" else (20,),
        n_features_to_select=5,
        activation=activation,
        calibrate=activation == "silu",
        max_epochs=3,
        random_state=0,
    )
    model = make_pipeline(StandardScaler(), network).fit(X, y)
    assert network.temperature_ != 1.0 or activation != "silu"
    atol = SINGLE if dtype == np.float32 else DOUBLE
    assert_same(model, X, tmp_path / "panel.py", atol=atol)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_autoencoder_for_numbers(dtype, tmp_path):
    X, y = make_table(dtype=dtype)
    y = 1e4 * (y == "red") + X["gene 1"]
    network = SparseSupervisedAutoencoderRegressor(
        (20, 10), n_features_to_select=5, max_epochs=3, random_state=0
    )
    model = make_pipeline(StandardScaler(), network).fit(X, y)
    atol = SINGLE if dtype == np.float32 else DOUBLE
    assert_same(model, X, tmp_path / "panel.py", atol=atol)


def classifier(**options):
    return SparseSupervisedAutoencoder(max_epochs=3, random_state=0, **options)


def regressor(**options):
    options = {"max_epochs": 3, "random_state": 0, **options}
    return SparseSupervisedAutoencoderRegressor(**options)


def mean_of(*models, **options):
    """Return the mean of models: the probabilities of classifiers, else numbers."""
    parts = [(f"part {i}", model) for i, model in enumerate(models)]
    if is_classifier(models[0]):
        return VotingClassifier(parts, voting="soft", **options)
    return VotingRegressor(parts, **options)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weights", [None, [1, 3]])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_mean_of_classifiers(n_classes, weights, dtype, tmp_path):
    X, y = make_table(n_classes, dtype)
    last = mean_of(LogisticRegression(), classifier(eta=np.inf), weights=weights)
    model = make_pipeline(StandardScaler(), select(), last).fit(X, y)
    path = tmp_path / "panel.py"
    assert_same(model, X, path, atol=SINGLE if dtype == np.float32 else DOUBLE)
    selected = model[:-1].transform(X)
    proba = [part.predict_proba(selected) for part in model[-1].estimators_]
    assert np.abs(proba[0] - proba[1]).max() > 0.05
    panel = predict_free(path)
    with pytest.raises(ValueError, match="a mean of models has probabilities, and no"):
        panel["decision_function"](X)
    assert "coefficients" not in panel["PANEL"]["features"][0]


MEANS = {
    "plain": mean_of(Ridge(), regressor(eta=np.inf)),
    "weighted": mean_of(Ridge(), regressor(eta=np.inf), weights=[0.5, 2.0]),
    "nested": mean_of(Ridge(), mean_of(Ridge(9.0), regressor(), weights=[1, 4])),
    "one left": mean_of(Ridge(), regressor(), weights=[1, 2]).set_params(
        **{"part 1": "drop"}
    ),
}


@pytest.mark.parametrize("kind", MEANS)
def test_mean_of_regressors(kind, tmp_path):
    X, y = make_table()
    y = 1e4 * (y == "red") + X["gene 1"]
    model = make_pipeline(StandardScaler(), select(), MEANS[kind]).fit(X, y)
    path = tmp_path / "panel.py"
    assert_same(model, X, path)
    with pytest.raises(ValueError, match="predicts numbers, not classes"):
        predict_free(path)["predict_proba"](X)


def test_networks_of_a_mean_that_select_by_themselves(tmp_path):
    """The panel has the columns that any of them takes."""
    X, y = make_table()
    path = tmp_path / "panel.py"
    parts = [
        classifier(n_features_to_select=n).set_params(random_state=n) for n in (2, 3)
    ]
    for last, target in (
        (mean_of(*parts), y),
        (mean_of(LogisticRegression(), *parts), y),
        (mean_of(Ridge(), regressor(n_features_to_select=2)), 1e3 * (y == "red")),
    ):
        supports = []
        first = VarianceThreshold(1.0)
        model = make_pipeline(first, StandardScaler(), last).fit(X, target)
        for part in model[-1].estimators_:
            n = model[-1].n_features_in_
            takes_all = not hasattr(part, "get_support")
            supports.append(np.full(n, True) if takes_all else part.get_support())
        union = np.logical_or.reduce(supports)
        assert min(map(np.sum, supports)) < union.sum()
        assert_same(model, X, path)
        names = X.columns[first.get_support()][union].tolist()
        assert needed_columns(path) == names


def column_steps(impute, encode, **options):
    numbers = [f"gene {j}" for j in range(12)]
    return ColumnTransformer(
        [("numbers", impute, numbers), ("text", encode, ["site", "grade"])], **options
    )


@pytest.mark.parametrize(
    "prepare",
    [
        column_steps(SimpleImputer(), OneHotEncoder()),
        column_steps(
            SimpleImputer(strategy="median", add_indicator=True),
            OneHotEncoder(handle_unknown="ignore", sparse_output=False),
            verbose_feature_names_out=False,
        ),
        column_steps(
            make_pipeline(StandardScaler(), SimpleImputer(), MaxAbsScaler()),
            make_pipeline(
                SimpleImputer(strategy="most_frequent", missing_values=np.nan),
                OneHotEncoder(drop="first"),
            ),
        ),
    ],
    ids=["plain", "indicator", "nested"],
)
def test_missing_values_and_categories(prepare, tmp_path):
    X, y = make_gaps()
    X = X.assign(site=X["site"].where(X["site"].notna(), np.nan), constant=3.0)
    steps = [prepare, VarianceThreshold(), StandardScaler(), select(9)]
    model = make_pipeline(*steps, LogisticRegression()).fit(X, y)
    path = tmp_path / "panel.py"
    assert_same(model, X, path, apart=True)
    features = predict_free(path)["PANEL"]["features"]
    names = model[:-1].get_feature_names_out().tolist()
    assert [feature["name"] for feature in features] == names
    assert {"number", "category"} <= {feature["kind"] for feature in features}


def test_missing_values_that_the_model_cannot_take_are_errors(tmp_path):
    X, y = make_table()
    model = make_pipeline(StandardScaler(), select(), LogisticRegression()).fit(X, y)
    path = tmp_path / "panel.py"
    export_panel(model, path)
    panel = predict_free(path)
    name = panel["columns"]()[0]
    for value, message in (
        (None, "has no value in row 2"),
        (pd.NA, "has no value in row 2"),
        ("high", "has 'high' in row 2, which is not a finite number"),
        ("1_0", "not a finite number"),
        (np.inf, "not a finite number"),
    ):
        columns = {n: X[n].tolist()[:3] for n in panel["columns"]()}
        columns[name][1] = value
        with pytest.raises(ValueError, match=message):
            panel["predict"](columns)
    with pytest.raises(ValueError, match=f"has no column '{name}'"):
        panel["predict"](X.drop(columns=name))
    with pytest.raises(ValueError, match="differ in length"):
        panel["predict"]({n: X[n][: 3 + (n == name)] for n in panel["columns"]()})


def test_unknown_categories(tmp_path):
    """They are errors, or none of the known ones, as in the model."""
    X, y = make_gaps()
    for handle in ("ignore", "error"):
        prepare = column_steps(SimpleImputer(), OneHotEncoder(handle_unknown=handle))
        steps = [prepare, MaxAbsScaler(), LogisticRegression()]
        model = make_pipeline(*steps).fit(X, y)
        path = tmp_path / f"{handle}.py"
        export_panel(model, path)
        changed = X.assign(site="east", grade=7)
        panel = predict_free(path)
        if handle == "ignore":
            expected = model.decision_function(changed)
            found = panel["decision_function"](changed)
            np.testing.assert_allclose(found, expected, atol=DOUBLE)
        else:
            with pytest.raises(ValueError, match="unknown value 'east' in row 1"):
                panel["predict"](changed)


HOSTILE = [
    '"""',
    "'''; raise SystemExit",
    "a\nb\r\u2028c",
    "MODEL = {}\n",
    "{{ x }} {% y %} \\",
    "=1+1",
    "größe \U0001f9ec \u202e",
    "\ud800",
    "%s %(prog)s",
    "x" * 300,
]


def test_names_and_labels_of_any_characters(tmp_path):
    X, y = make_table()
    X = X.set_axis([*HOSTILE, "a", "b"], axis=1)
    y = np.array([HOSTILE[0], HOSTILE[2], HOSTILE[6]])[(y == "red") + 2 * (y == "blue")]
    model = make_pipeline(StandardScaler(), select(10), LogisticRegression()).fit(X, y)
    path = tmp_path / "panel.py"
    directions = dict.fromkeys(HOSTILE, HOSTILE[3])
    export_panel(model, path, directions=directions)
    names = needed_columns(path)
    assert len(set(HOSTILE).intersection(names)) >= 8
    assert predict_free(path)["PANEL"]["classes"] == sorted(set(y))
    for feature in predict_free(path)["PANEL"]["features"]:
        if feature["name"] in HOSTILE:
            assert feature["direction"] == HOSTILE[3]
    assert_same(model, X, path)


@pytest.mark.parametrize("labels", [[3, -1], [True, False], [0.0, 2.0]])
def test_labels_that_are_no_text(labels, tmp_path):
    X, y = make_table(2)
    y = np.where(y == "red", *labels)
    model = make_pipeline(StandardScaler(), select(), LogisticRegression()).fit(X, y)
    assert_same(model, X, tmp_path / "panel.py")


def test_panel_is_readable(tmp_path):
    """Its items are what a formula on paper needs."""
    X, y = make_table(2)
    model = make_pipeline(StandardScaler(), select(), LogisticRegression()).fit(X, y)
    path = tmp_path / "panel.py"
    export_panel(model, path, directions=X.groupby(y).mean().idxmax())
    panel = predict_free(path)
    source = path.read_text("utf-8")
    assert max(map(len, source.splitlines())) <= 88
    ast.parse(source, feature_version=(3, 8))
    (logit,) = panel["PANEL"]["intercepts"]
    for feature, importance in zip(
        panel["PANEL"]["features"],
        model[1].scores_[model[1].get_support()],
        strict=True,
    ):
        assert feature["column"] == feature["name"]
        column = X[feature["column"]]
        assert feature["importance"] == importance
        (coefficient,) = feature["coefficients"]
        logit += coefficient * (column - feature["center"]) / feature["scale"]
        means = column.groupby(y).mean()
        assert feature["direction"] == means.idxmax()
    np.testing.assert_allclose(logit, model.decision_function(X), atol=DOUBLE)


MEAN = mean_of(LogisticRegression(), classifier(eta=np.inf), weights=[2, 1])


@pytest.mark.parametrize("label", ["green", "red", None])
@pytest.mark.parametrize(
    ("last", "threshold", "method"),
    [
        (LogisticRegression(), 0.2, "auto"),
        (LogisticRegression(), "auto", "auto"),
        (LogisticRegression(), 0.7, "decision_function"),
        (LogisticRegression(), "auto", "decision_function"),
        (MEAN, 0.2, "auto"),
        (MEAN, 0.8, "predict_proba"),
    ],
)
def test_thresholds(last, threshold, method, label, tmp_path):
    X, y = make_table(2)
    pipeline = make_pipeline(StandardScaler(), select(), last).fit(X, y)
    frozen, options = FrozenEstimator(pipeline), {"response_method": method}
    model = FixedThresholdClassifier(
        frozen, threshold=threshold, pos_label=label, **options
    ).fit(X, y)
    differ = (model.predict(X) != pipeline.predict(X)).any()
    assert differ == (threshold != "auto")
    assert_same(model, X, tmp_path / "panel.py")


def test_searches_and_loaded_models(tmp_path):
    X, y = make_table()
    steps = [("scale", StandardScaler()), ("select", select()), ("mean", MEAN)]
    grid = {"mean__part 0__C": [1.0, 2.0]}
    search = GridSearchCV(Pipeline(steps), grid, cv=2).fit(X, y)
    assert_same(search, X, tmp_path / "panel.py", apart=True)
    dump(search.best_estimator_, tmp_path / "model.skops")
    export_panel(load(tmp_path / "model.skops"), tmp_path / "loaded.py")
    loaded = (tmp_path / "loaded.py").read_text("utf-8")
    assert loaded == (tmp_path / "panel.py").read_text("utf-8")


REFUSED = {
    "KNNImputer may mix": [KNNImputer(), select(), LogisticRegression()],
    "PowerTransformer may mix": [PowerTransformer(), select(), LogisticRegression()],
    "predicts by SVC; possible are": [select(), SVC()],
    "by a VotingClassifier with voting='hard'; possible are": [
        select(),
        VotingClassifier([("linear", LogisticRegression())]),
    ],
    "predicts by DecisionTreeClassifier; possible are": [
        select(),
        mean_of(LogisticRegression(), DecisionTreeClassifier()),
    ],
    "ProjectionFeatureSelector, selects and cannot": [StandardScaler(), select()],
    "predicts by SparseMLPClassifier": [SparseMLPClassifier(max_epochs=1)],
    "fills in -1": [SimpleImputer(missing_values=-1), select(), LogisticRegression()],
}


@pytest.mark.parametrize("message", REFUSED)
def test_other_models_are_refused(message, tmp_path):
    X, y = make_table()
    model = make_pipeline(*REFUSED[message]).fit(X, y)
    path = tmp_path / "panel.py"
    path.write_text("old")
    with pytest.raises(ValueError, match="cannot be exported: .*" + message):
        export_panel(model, path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_other_transformations_are_refused(tmp_path):
    X, y = make_gaps()
    gene = ["gene 0", "gene 1", "gene 2"]
    text = (OneHotEncoder(max_categories=2), ["site"])
    for message, first in {
        "merges rare categories": make_column_transformer(
            (StandardScaler(), gene), text
        ),
        "transformer_weights": ColumnTransformer(
            [("a", SimpleImputer(), gene)], transformer_weights={"a": 2.0}
        ),
    }.items():
        steps = [first, SimpleImputer(), LogisticRegression()]
        model = make_pipeline(*steps).fit(X, y)
        with pytest.raises(ValueError, match=message):
            export_panel(model, tmp_path / "panel.py")
    targets = np.column_stack([X["grade"], X["grade"]])
    genes = X[gene].fillna(0.0)
    model = make_pipeline(StandardScaler(), LinearRegression()).fit(genes, targets)
    with pytest.raises(ValueError, match="several targets"):
        export_panel(model, tmp_path / "panel.py")


def test_models_without_names_and_folders_that_are_missing(tmp_path):
    X, y = make_table()
    model = make_pipeline(StandardScaler(), select(), LogisticRegression())
    with pytest.raises(ValueError, match="not know the names of its columns"):
        export_panel(model.fit(X.to_numpy(), y), tmp_path / "panel.py")
    with pytest.raises(FileNotFoundError, match="no folder"):
        export_panel(model.fit(X, y), tmp_path / "none" / "panel.py")
