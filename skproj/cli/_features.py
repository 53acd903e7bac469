"""The selected features: how often they are selected, and where they are high."""

import numpy as np
from scipy import sparse

from skproj.blocks import RowBlocks
from skproj.cli._evidence import rank_scores
from skproj.cli._result import SelectedFeature
from skproj.linear_model._cox import null_residuals
from skproj.linear_model._substitutes import find_substitutes
from skproj.utils._survival import is_survival


def describe_features(
    names, support, scores, frequencies, q_values, X, y, classes, substitutes=None
):
    """Describe the selected features by the rows that the model was fitted to.

    The most important is the first. `frequencies`, `q_values` and `classes` may be
    None; `substitutes` are those of `find_substitutes` by name, which must be known
    for blocks.
    """
    if is_survival(y):  # how much earlier than expected an event comes
        y = null_residuals(y, np.full(len(y), 1.0 / len(y)))
    order = np.argsort(-scores, kind="stable")
    order = order[support[order]]
    if substitutes is None:
        substitutes = find_substitutes(X, order, names=names)
    features = []
    for rank, (j, column) in enumerate(columns_of(X, order), start=1):
        column = column.astype(np.float64)
        groups = summarize(column, y, classes)
        if classes is None:
            direction = "+" if rank_scores(column) @ rank_scores(y) >= 0.0 else "-"
        else:
            direction = max(groups, key=lambda group: group["mean"])["label"]
        features.append(
            SelectedFeature(
                rank=rank,
                name=str(names[j]),
                score=float(str(scores[j])),  # no more digits than in its precision
                frequency=None if frequencies is None else float(frequencies[j]),
                q_value=None if q_values is None else float(q_values[j]),
                direction=direction,
                groups=groups,
                substitutes=[
                    {"name": name, "correlation": value}
                    for name, value in substitutes[str(names[j])]
                ],
            )
        )
    return features


def columns_of(X, order):
    """Yield places and columns in an order; sparse ones become dense one by one."""
    if isinstance(X, RowBlocks):
        columns = X.take_columns(np.sort(order))[:, np.argsort(np.argsort(order))]
    else:
        columns = X[:, order]
    is_sparse = sparse.issparse(columns)
    columns = columns.tocsc() if is_sparse else columns
    for k, j in enumerate(order):
        yield j, columns[:, [k]].toarray()[:, 0] if is_sparse else columns[:, k]


def summarize(column, y, classes):
    if classes is None:
        parts = {"all": column}
    else:
        parts = {str(label): column[y == label] for label in classes}
    return [
        {"label": label, "mean": float(part.mean()), "spread": float(part.std())}
        for label, part in parts.items()
    ]
