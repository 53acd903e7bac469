"""The selected features: how often they are selected, and where they are high."""

import numpy as np
from scipy import sparse

from skproj.cli._evidence import rank_scores
from skproj.cli._result import GroupSummary, SelectedFeature
from skproj.linear_model._cox import null_residuals
from skproj.utils._stability import find_substitutes
from skproj.utils._survival import is_survival


def describe_features(names, support, scores, frequencies, X, y, classes):
    """Describe the selected features by the rows that the model was fitted to.

    Parameters
    ----------
    names : ndarray of str of shape (n_features,)
    support : ndarray of bool of shape (n_features,)
    scores : ndarray of shape (n_features,)
    frequencies : ndarray of shape (n_features,) or None
    X : {ndarray, CSR matrix} of shape (n_rows, n_features)
    y : ndarray of shape (n_rows,)
    classes : ndarray of shape (n_classes,) or None

    Returns
    -------
    features : list of SelectedFeature
        The most important first.
    """
    if is_survival(y):  # how much earlier than expected an event comes
        y = null_residuals(y, np.full(len(y), 1.0 / len(y)))
    order = np.argsort(-scores, kind="stable")
    order = order[support[order]]
    substitutes = find_substitutes(X, order)
    columns = X[:, order]
    columns = columns.toarray() if sparse.issparse(columns) else columns
    columns = columns.astype(np.float64)
    features = []
    for rank, (j, column) in enumerate(zip(order, columns.T, strict=True), start=1):
        groups = summarize(column, y, classes)
        if classes is None:
            direction = "+" if rank_scores(column) @ rank_scores(y) >= 0.0 else "-"
        else:
            direction = max(groups, key=lambda group: group.mean).label
        features.append(
            SelectedFeature(
                rank=rank,
                name=str(names[j]),
                score=float(str(scores[j])),  # no more digits than in its precision
                frequency=None if frequencies is None else float(frequencies[j]),
                direction=direction,
                groups=groups,
                substitutes=[
                    (str(names[other]), float(value))
                    for other, value in substitutes[int(j)]
                ],
            )
        )
    return features


def summarize(column, y, classes):
    """Return the mean and the spread of a feature in each class."""
    if classes is None:
        return [GroupSummary("all", float(column.mean()), float(column.std()))]
    parts = [(str(label), column[y == label]) for label in classes]
    return [
        GroupSummary(label, float(part.mean()), float(part.std()))
        for label, part in parts
    ]
