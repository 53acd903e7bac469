"""The page from the numbers of the report and its plots."""

import base64
import functools
import hashlib
from pathlib import Path

import numpy as np

from skproj.cli._plots import LINES
from skproj.cli._report_numbers import is_separated
from skproj.cli._result import rounded
from skproj.linear_model._substitutes import MAX_SUBSTITUTES
from skproj.utils._optional import import_optional
from skproj.utils._wording import in_words, shorten

FOLDER = Path(__file__).parent

# Each feature is a row of the page; features.csv has those that are more.
MAX_FEATURES = 5000
# Rows that are seen at first.
N_SHOWN_FEATURES = 25
# What is beyond this is in features.csv and report.json.
MAX_SHOWN_SUBSTITUTES = 3
N_HEATMAP_FEATURES = 30
# Where the colours of the heatmap end, in standard deviations within a class.
MAX_SHADED_DEVIATION = 2.0
MAX_ALPHA = 0.75


def render(numbers, figures):
    """Return the page.

    Parameters
    ----------
    numbers : dict
        What `report_numbers` returns.
    figures : dict
        Plots as SVG, by name.

    Returns
    -------
    page : str
    """
    script = (FOLDER / "page.js").read_text(encoding="utf-8")
    return read_template().render(
        **numbers,
        shown=numbers["features"][:MAX_FEATURES],
        n_shown=N_SHOWN_FEATURES,
        max_substitutes=MAX_SHOWN_SUBSTITUTES,
        most_substitutes=MAX_SUBSTITUTES,
        heatmap=heatmap(numbers),
        confusion_rows=confusion_rows(numbers),
        forest=forest(numbers),
        alts=alternatives(numbers),
        has_substitutes=any(f["substitutes"] for f in numbers["features"]),
        is_separated=is_separated(numbers["classes"]),
        lines=LINES,
        figures=figures,
        style=(FOLDER / "page.css").read_text(encoding="utf-8"),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


@functools.cache
def read_template():
    jinja2 = import_optional("jinja2", extra="cli")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "interval": interval,
        "in_words": in_words,
        "number": number,
        "shorten": shorten,
    }
    return environment.get_template("page.html")


def number(value, form=None, digits=3):
    """Return a number as text, a dash for one that is not known."""
    if value is None:
        return "-"
    text = rounded(value, digits) if form is None else format(value, form)
    return text.removesuffix(".")


def plain_number(value):
    """Return a number of three digits as people write it, such as 1,400."""
    short = float(f"{value:.3g}")  # 999.7 is 1,000 as well
    if 1e3 <= abs(short) < 1e7:
        return f"{short:,.0f}"
    return f"{value:.3g}"


def alternatives(numbers):
    """Return what the plots show in numbers, by their names, to be read aloud."""
    found = dict.fromkeys(("radius", "test", "curves", "calibration", "spectrum"), "")
    first = ", ".join(feature["name"] for feature in numbers["features"][:5])
    found["spectrum"] = f" The largest are those of {first}."
    path = [row for row in numbers["path"] if row["score"] is not None]
    if path:
        most = max(path, key=lambda row: row["n_features"])
        least = min(path, key=lambda row: row["n_features"])
        score = numbers["cross_validation"]
        found["radius"] = (
            f" From {number(least['score'])} with {least['n_features']:.0f} features "
            f"to {number(most['score'])} with {most['n_features']:.0f}; chosen are "
            f"{numbers['n_selected']} with {number(score['mean'])}."
        )
    areas = [row for row in numbers["classes"] if row["auc"] is not None]
    if areas:
        listed = (f"{row['name']} {number(row['auc'])}" for row in areas)
        found["curves"] = f" Areas under the curves: {', '.join(listed)}."
    if numbers["models"]:
        scores = numbers["models"][0]["scores"]
        listed = (f"{x['name']} {number(x['value'])}" for x in scores)
        found["test"] = f" {', '.join(listed)}."
    return found


def interval(score):
    """Return the confidence interval of a score."""
    if score["low"] is None or score["high"] is None:
        return ""
    return f"{rounded(score['low'], 3)} to {rounded(score['high'], 3)}"


def forest(numbers):
    """Return where a line for the headline scores begins, and the unit of a per cent.

    It is from the smallest to the largest number of all models and their intervals.
    None if there is no such line.
    """
    scores = [model["scores"][0] for model in numbers["models"]]
    ends = [score[end] for score in scores for end in ("low", "value", "high")]
    ends = [end for end in ends if end is not None]
    if not ends or min(ends) == max(ends):
        return None
    return {"low": min(ends), "unit": (max(ends) - min(ends)) / 100.0}


def heatmap(numbers):
    """Return the means by class of the first features, with a shade for each.

    A shade says how far the mean of a class is from that of all classes, in standard
    deviations within a class: its sign, and how opaque it is.
    """
    if len(numbers["class_names"]) < 2:
        return []
    rows = []
    for feature in numbers["features"][:N_HEATMAP_FEATURES]:
        means = np.array([g["mean"] for g in feature["groups"]], dtype=np.float64)
        spreads = np.array([g["spread"] for g in feature["groups"]], dtype=np.float64)
        within = np.sqrt(np.nanmean(np.square(spreads))) if len(spreads) else 0.0
        deviations = means - np.nanmean(means)
        scale = within if within > 0.0 else np.abs(deviations).max() or 1.0
        alphas = np.clip(deviations / (scale * MAX_SHADED_DEVIATION), -1.0, 1.0)
        cells = [
            cell(plain_number(mean), alpha > 0, abs(alpha))
            for mean, alpha in zip(means, alphas, strict=True)
        ]
        rows.append({"name": in_words(feature["name"]), "cells": cells})
    return rows


def cell(text, is_high, shade):
    """Return a cell of a matrix, blue or orange, of a shade from 0 to 1."""
    kind = "high" if is_high else "low"
    return {"text": text, "kind": kind, "alpha": f"{MAX_ALPHA * shade:.2f}"}


def confusion_rows(numbers):
    """Return the rows of the confusion matrix; the share of a row is a shade."""
    if numbers["confusion"] is None:
        return []
    return [
        {
            "name": name,
            "total": sum(counts),
            "cells": [
                cell(count, i == j, count / max(1, sum(counts)))
                for j, count in enumerate(counts)
            ],
        }
        for i, (name, counts) in enumerate(
            zip(numbers["class_names"], numbers["confusion"], strict=True)
        )
    ]
