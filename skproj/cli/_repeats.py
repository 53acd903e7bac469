"""The selection repeated with other seeds: other rows held out, and other folds."""

from dataclasses import dataclass

import numpy as np

from skproj.cli._result import rounded


@dataclass(frozen=True)
class Repeat:
    """A selection with another seed."""

    seed: int
    n_selected: int
    score_name: str | None  # None if no rows are held out
    score: float | None
    selected: list  # names of the features


def describe_repeats(repeats):
    if not repeats:
        return None
    counts = [r.n_selected for r in repeats]
    sentence = (
        f"With {len(repeats)} other seeds, which hold out other rows, {min(counts)} to "
        f"{max(counts)} features are selected"
    )
    scores = np.array([r.score for r in repeats if r.score is not None])
    if len(scores):
        low, high, mean = (rounded(f(scores), 3) for f in (np.min, np.max, np.mean))
        name = repeats[0].score_name
        sentence += f", and the {name} is {low} to {high}, on average {mean}"
    return f"{sentence}."


def times_selected(repeats, name):
    return sum(name in r.selected for r in repeats)
