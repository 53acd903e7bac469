"""Results of a selection: tables of the genes, the cells and the model."""

import numpy as np
from scipy.special import softmax
from sklearn.decomposition import PCA
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from skproj.anndata._matrix import compare_groups, scale_of_genes, stored_values
from skproj.anndata._ranking import rank_genes
from skproj.utils._calibration import fit_temperature

# Shares of the cells that express a gene, in a group and in the others.
DETECTED = "detected", "detected_rest"


def describe(selection, groups, reference, X, expression, genes, log_base, adata):
    """Return the results for an AnnData object.

    `X` and `expression` are the selected genes of all cells, as the model sees them and
    as they are, in logarithms to `log_base` or natural ones. `genes` are the places of
    the genes that were considered, and `reference` is the code of the group that the
    ranking compares the others with, or None.

    Returns a dict: columns for "var", "varm" and "obs", the entries of "uns", and the
    "logits" of the cells with the "plane" of their principal components.
    """
    labelled = np.flatnonzero(groups.has_label)
    codes = groups.codes[labelled]
    latent = selection.logits(X)
    logits = latent.astype(np.float64)
    logits[labelled] = selection.fold_logits
    predicted = logits.argmax(axis=1)
    temperature = _temperature(selection.fold_logits, codes)
    var, varm = _describe_genes(
        selection, X[labelled], expression[labelled], codes, genes, adata.n_vars
    )
    ranking = rank_genes(
        selection,
        groups,
        reference,
        X[labelled],
        expression[labelled],
        adata.var_names[genes[selection.selected]].to_numpy(),
        log_base,
    )
    return {
        "var": var,
        "varm": varm,
        "obs": {
            "label": groups.as_column(predicted),
            "confidence": softmax(logits / temperature, axis=1).max(axis=1),
        },
        "logits": latent,
        "plane": PCA(n_components=2, svd_solver="full").fit_transform(latent),
        "uns": {
            "groups": groups.names,
            "temperature": temperature,
            **_describe_model(selection, codes, predicted[labelled]),
            **ranking,
        },
    }


def _temperature(logits, codes):
    """Return the temperature that calibrates the logits of the folds."""
    known = np.isfinite(logits[np.arange(len(codes)), codes])
    n_known = np.count_nonzero(known)
    if n_known == 0:
        return 1.0
    return fit_temperature(logits[known], codes[known], np.ones(n_known), n_known)


def _describe_model(selection, codes, predicted):
    """Return the results that are single values or tables, for `uns`."""
    eta = selection.model.eta_
    results = {
        "eta": eta if isinstance(eta, np.ndarray) else float(eta),
        "n_selected": len(selection.selected),
        "accuracy": float(accuracy_score(codes, predicted)),
        "balanced_accuracy": float(balanced_accuracy_score(codes, predicted)),
    }
    table = getattr(selection.model, "cv_results_", None)
    if table is not None:
        results["cv_results"] = {
            name: np.asarray(table[name]) for name in table if name != "params"
        }
    return results


def _describe_genes(selection, X, expression, codes, genes, n_vars):
    """Return the columns of results for all genes, as dicts for `var` and `varm`.

    `X` and `expression` have the selected genes of the cells with a label.
    """

    def spread(values, places):
        columns = np.full((n_vars, *values.shape[1:]), np.nan)
        columns[places] = values
        return columns

    chosen = genes[selection.selected]
    deviations = scale_of_genes(X)[:, np.newaxis]
    var = {
        "selected": np.isin(np.arange(n_vars), chosen),
        "score": spread(selection.scores, genes),
        "selection_frequency": spread(selection.frequency, genes),
    }
    means, others = compare_groups(X, codes)
    varm = {"difference": spread((means - others).T / deviations, chosen)}
    shares = np.full((2, *means.shape), np.nan)
    if stored_values(expression).min(initial=0) >= 0:
        shares = compare_groups((expression > 0).astype(np.float32), codes)
    for name, of_groups in zip(DETECTED, shares, strict=True):
        varm[name] = spread(of_groups.T, chosen)
    coef = selection.coef()
    if coef is not None:
        varm["coef"] = spread(coef.T * deviations, chosen)
    return var, varm
