"""The numbers of the report: those of the page and of ``report.json``."""

import dataclasses
import datetime
import math
import platform
import shlex

import numpy as np
from sklearn.metrics import (
    average_precision_score,
    confusion_matrix,
    precision_recall_fscore_support,
    roc_auc_score,
)

from skproj.cli._methods import describe_model, methods
from skproj.cli._result import describe_repeats
from skproj.cli._scores import wilson
from skproj.utils._versions import versions

# Options that do not change the result, and what has a place of its own.
NO_SETTINGS = {
    *("command", "command_line", "data", "debug", "no_progress"),
    *("out", "overwrite", "quiet", "target"),
}


def report_numbers(selection, path, facts, options):
    """Return all that the report says, as lists, dicts and plain values.

    They are those of ``report.json``, with None for what is not known or not finite.
    `path` has the scores of the radii that were tried, if any; `facts` are about the
    data, by name.
    """
    s = selection
    numbers = {
        "verdict": s.verdict,
        "target": facts["target"],
        "task": s.task,
        "n_features": len(s.names),
        "n_selected": s.n_selected,
        "eta": s.eta,
        "choice": s.choice,
        "n_train": s.n_train,
        "n_test": s.n_test,
        "cross_validation": {
            "score_name": s.cv_score_name,
            "mean": s.cv_score,
            "standard_deviation": s.cv_std,
            "folds": options.cv,
        },
        "models": s.comparison,
        "n_halves": s.n_halves,
        "stability": {"index": s.stability, "interval": s.stability_interval},
        "false_discoveries": s.false_discoveries,
        "warnings": s.warnings,
        "preparation": s.preparation,
        "threshold": s.threshold,
        "class_names": s.class_names,
        "positive_class": None if s.positive is None else s.class_names[s.positive],
        **numbers_of_classes(s),
        "features": s.features,
        "repeats": {
            "sentence": describe_repeats(s.repeats),
            "runs": s.repeats,
            "times_selected": [
                sum(f.name in r.selected for r in s.repeats) for f in s.features
            ],
        },
        "path": path_numbers(path),
        "data": facts,
        "settings": settings(options),
        "command": shlex.join(options.command_line),
        "methods": methods(s, facts, options),
        "model": describe_model(s.model),
        "versions": {**versions(), "system": platform.platform()},
        "written": f"{datetime.datetime.now().astimezone():%Y-%m-%d %H:%M %Z}".strip(),
    }
    return plain(numbers)


def plain(value):
    """Return a value as JSON has it, with None for numbers that are not finite."""
    if dataclasses.is_dataclass(value):
        value = dataclasses.asdict(value)
    if isinstance(value, dict):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(part) for part in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, bool | int | None) else str(value)


def settings(options):
    """Return the options that change the result and are not left out."""
    return {
        name.replace("_", " "): ", ".join(map(str, value))
        if isinstance(value, list)
        else value
        for name, value in vars(options).items()
        if name not in NO_SETTINGS and (value or type(value) in (int, float))
    }


def numbers_of_classes(selection):
    """Return the scores of each class, the rates of two classes, and the confusion."""
    s = selection
    if s.n_test == 0 or not s.class_names:
        return {"classes": [], "rates": [], "confusion": None}
    (true, predicted), places = s.codes, np.arange(len(s.class_names))
    precision, recall, _, counts = precision_recall_fscore_support(
        true, predicted, labels=places, zero_division=np.nan
    )
    rows = []
    for i, name in enumerate(s.class_names):
        row = {
            "name": name,
            "rows": counts[i],
            "precision": precision[i],
            "recall": recall[i],
            "auc": None,
            "average_precision": None,
        }
        if s.predictions.decisions is not None and 0 < counts[i] < s.n_test:
            told = true == i, s.predictions.decisions[:, i]
            row["auc"] = roc_auc_score(*told)
            row["average_precision"] = average_precision_score(*told)
        rows.append(row)
    of_two = [codes == s.positive for codes in (true, predicted)]
    return {
        "classes": rows,
        "rates": [] if s.positive is None else rates(*of_two),
        "confusion": confusion_matrix(true, predicted, labels=places),
    }


def is_separated(classes):
    """Whether the scores of each class are apart from those of all others.

    `classes` are those of `numbers_of_classes`.
    """
    return all(row["auc"] in (None, 1.0) for row in classes)


def rates(true, predicted):
    """Return the rates of two classes, with their 95 % intervals, from two masks."""
    rows = []
    for name, hits, among in (
        ("Sensitivity", predicted, true),
        ("Specificity", ~predicted, ~true),
        ("Positive predictive value", true, predicted),
        ("Negative predictive value", ~true, ~predicted),
    ):
        n, n_hits = np.sum(among), np.sum(hits & among)
        value = n_hits / n if n else None
        low, high = wilson(value, n) if n else (None, None)
        row = {"name": name, "hits": n_hits, "rows": n}
        rows.append(row | {"value": value, "low": low, "high": high})
    return rows


def path_numbers(path):
    if path is None:
        return []
    names = "eta", "score", "standard_deviation", "n_features"
    columns = path.etas, path.mean_scores, path.std_scores, path.n_features
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
