"""Results of selections, of any size, to make reports from."""

import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skproj import ProjectionFeatureSelector
from skproj.cli._arguments import make_parser
from skproj.cli._page import render
from skproj.cli._plots import draw_plots, path_of, svg_of
from skproj.cli._report import write_report
from skproj.cli._report_numbers import report_numbers
from skproj.cli._result import (
    ModelScores,
    Predictions,
    Score,
    SelectedFeature,
    SelectionResult,
    Verdict,
)

MARKUP = "<script>alert(1)</script>"
TEN_LONG_NAMES = [
    f"Epithelial cells of the proximal tubule, state {i} of ten" for i in range(10)
]
FACTS = {"data": "table.csv", "rows": 200, "features": 300, "target": "kind"}
COMMAND = ["skproj", "select", "table.csv", "--target", "kind"]
OPTIONS = make_parser().parse_args([*COMMAND[1:], "--cv", "3", "--drop", "age"])
OPTIONS.command_line = COMMAND


def write(folder, result):
    """Write all files of a report into a folder."""
    folder.mkdir(exist_ok=True)
    write_report(folder, result, FACTS, OPTIONS)


def page_of(result, *plots):
    """Return a page with some of its plots, which take most of the time."""
    path = path_of(result) if plots else None
    figures = {name: svg_of(draw_plots(result, path)[name]) for name in plots}
    return render(report_numbers(result, path, FACTS, OPTIONS), figures)


def make_result(
    *, n_features=60, n_selected=12, class_names=("green", "red"), n_test=80, **changes
):
    """Return a SelectionResult; without class names it is that of a regression."""
    rng = np.random.RandomState(0)
    names = np.array([f"gene_{j}" for j in range(n_features)])
    names = changes.pop("names", names)
    scores = np.zeros(n_features, dtype=np.float32)
    scores[:n_selected] = np.sort(rng.uniform(0.1, 1.0, size=n_selected))[::-1]
    class_names = list(class_names)
    search = fit_search(class_names)
    chosen = search.cv_results_["mean_test_score"][search.best_index_]
    values = {
        "verdict": Verdict(True, "The model predicts.", "AUC", 0.9, 0.5, 0.4, 0.03),
        "model": search.best_estimator_,
        "task": "classification" if class_names else "regression",
        "search": search,
        "eta": 3.25,
        "names": names,
        "support": scores > 0,
        "scores": scores,
        "frequencies": np.where(scores > 0, 0.8, 0.1),
        "features": make_features(rng, names, scores, n_selected, class_names),
        "cv_score": float(chosen),
        "cv_std": 0.03,
        "cv_score_name": "accuracy" if class_names else "R2",
        "comparison": make_comparison(n_selected, n_features) if n_test else [],
        "warnings": [],
        "predictions": make_predictions(rng, class_names, n_test),
        "class_names": class_names,
        "n_train": 120,
        "n_halves": 20,
        "stability": 0.71,
        "stability_interval": (0.6, 0.8),
        "preparation": ["3 missing values were filled with medians."],
    }
    return SelectionResult(**{**values, **changes})


def fit_search(class_names):
    rng = np.random.RandomState(1)
    X = rng.normal(size=(60, 5))
    n_classes = min(max(2, len(class_names)), 10)
    y = np.arange(60) % n_classes if class_names else X[:, 0]
    X[:, 0] += y
    loss = "log_loss" if class_names else "squared_error"
    steps = [
        ("scale", StandardScaler()),
        ("select", ProjectionFeatureSelector(loss=loss)),
        ("predict", LogisticRegression() if class_names else Ridge()),
    ]
    scoring = {"score": "accuracy" if class_names else "r2", "n_features": count}
    grid = {"select__eta": [0.5, 1.0, 2.0]}
    search = GridSearchCV(Pipeline(steps), grid, cv=3, scoring=scoring, refit="score")
    return search.fit(X, y)


def count(model, X, y):
    return np.count_nonzero(model["select"].get_support())


def make_features(rng, names, scores, n_selected, class_names):
    features = []
    for j in range(n_selected):
        means = rng.normal(5.0, 2.0, size=max(1, len(class_names)))
        groups = [
            {"label": label, "mean": mean, "spread": 1.3}
            for label, mean in zip(class_names or ["all"], means, strict=True)
        ]
        others = [
            {"name": str(names[(j + i) % len(names)]), "correlation": 0.9 - i / 10}
            for i in (1, 2, 3)
        ]
        direction = class_names[means.argmax()] if class_names else "+"
        features.append(
            SelectedFeature(
                j + 1, str(names[j]), scores[j], 0.8, direction, groups, others
            )
        )
    return features


def make_comparison(n_selected, n_features):
    models = [
        ("selection", n_selected),
        ("no selection", n_features),
        ("most frequent", 0),
    ]
    return [
        ModelScores(
            name,
            number,
            [
                Score("balanced accuracy", v, v - 0.1, v + 0.08),
                Score("AUC", v + 0.02, v - 0.07, v + 0.09),
            ],
        )
        for (name, number), v in zip(models, (0.83, 0.8, 0.5), strict=True)
    ]


def make_predictions(rng, class_names, n_test):
    if not class_names:
        y = rng.normal(size=n_test)
        return Predictions(y, y + 0.3 * rng.normal(size=n_test))
    true = np.arange(n_test) % len(class_names)
    decisions = rng.uniform(size=(n_test, len(class_names)))
    decisions[np.arange(n_test), true] += 0.5
    probabilities = np.exp(4 * decisions)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    labels = np.array(class_names)
    predicted = labels[probabilities.argmax(axis=1)]
    return Predictions(labels[true], predicted, probabilities, probabilities)
