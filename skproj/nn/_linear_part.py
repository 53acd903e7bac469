"""Linear part of the network of a search: ridge regression on two selections."""

import numpy as np
import torch
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from skproj.blocks import RowBlocks
from skproj.linear_model._default_radius import choose_support, support_at
from skproj.nn._autoencoder_folds import (
    Candidate,
    FoldResult,
    log_losses,
    training_shares,
)
from skproj.nn._training._network import Autoencoder, mlp_from_layers
from skproj.nn._training._stack import merge_layers
from skproj.nn._training._units import largest_entry
from skproj.utils._moments import mean_and_deviation
from skproj.utils._path_search import SCORE_PER_FACTOR

# Activations f with f(z) - f(-z) = z: two units pass on what one linear unit says.
PASSING = ("silu", "relu", "gelu")

# Weights of the linear part in the mean, and inverse ridge penalties, to choose from.
WEIGHTS = (0.25, 0.5, 0.75)
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)


def with_linear_part(path, best, model, encoded, X, sample_weight):
    """Return a candidate with a linear part beside the best one, if that is better.

    The logits become the weighted mean of those of the network and of a ridge logistic
    regression on the features that the network or a linear model selects. The weight
    and the penalty are those with the least calibrated log loss of the folds, whose
    features and coefficients are those of the fold. Returns None if it is no better.
    """
    has_logits = path.calibrated and model.loss == "cross_entropy"
    passes_on = model.activation in PASSING and model._hidden_sizes()
    if isinstance(X, RowBlocks) or not has_logits or not passes_on:
        return None
    structure, data = model._structure(), (X[encoded.rows], encoded.targets)
    try:
        selected, eta, learns = choose_support(
            "log_loss", *data, encoded.weight, structure
        )
    except ValueError:  # too few samples of a class, say
        return None
    if not learns:
        return None
    weight = np.ones(len(encoded.places)) if sample_weight is None else sample_weight
    candidate, parts = path.candidates[best], []
    for fold, result in zip(path.folds, candidate.of_folds, strict=True):
        share = training_shares(encoded.places, weight, fold.weight_train)
        of_fold = encoded.weight * share
        rows = np.flatnonzero(of_fold)
        train = data[0][rows], data[1][rows], of_fold[rows]
        try:
            union = support_at(eta, "log_loss", *train, structure)
            union[result.support] = True
            parts.append(_FoldLogits(fold, result, np.flatnonzero(union), train))
        except ValueError:  # one class, or no feature
            return None
    temperature = path.temperatures[best]
    mean = max(
        (
            _Mean(path, parts, temperature, penalty, share)
            for penalty in range(len(PENALTIES))
            for share in WEIGHTS
        ),
        key=lambda mean: mean.score,
    )
    n_features = np.mean([len(part.columns) for part in parts])
    n_before = max(path.counts[:, best].mean(), 1.0)
    price = SCORE_PER_FACTOR / np.sqrt(X.shape[0]) * np.log(n_features / n_before)
    if mean.score - price <= path.scores[:, best].mean():
        return None
    state = candidate.state
    selected[state["_columns_"]] = True
    ridge = _Ridge(*data, encoded.weight, np.flatnonzero(selected))
    ridge = ridge.logits(PENALTIES[mean.penalty], len(state["classes_"]))
    pairs = zip(parts, mean.latents, strict=True)
    return Candidate(
        _with_linear_part(model, state, ridge, mean.share, temperature),
        candidate.noise,
        [FoldResult(part.columns, latent) for part, latent in pairs],
        linear_weight=mean.share,
    )


class _Ridge:
    """Logistic regressions with a ridge penalty on some standardised columns."""

    def __init__(self, X, y, weight, columns):
        smallest = 1.0 / largest_entry(X.dtype)  # as `Units`
        X = _dense(X, columns)
        self.columns = columns
        self.mean, scale = mean_and_deviation(X, weight / weight.sum())
        self.scale = np.where(scale < smallest, 1.0, scale)
        self._data = (X - self.mean) / self.scale, y, weight / weight.mean()

    def logits(self, penalty, n_classes):
        """Return columns, their scales, and coefficients of the logits of all classes.

        Logits are ``X[:, columns] @ coef.T + intercept``; those of classes that the
        samples lack are minus infinity.
        """
        X, y, weight = self._data
        model = LogisticRegression(C=penalty, max_iter=1000).fit(X, y, weight)
        coef, intercept = model.coef_, model.intercept_
        if len(coef) == 1:  # of the second class against the first
            coef, intercept = coef * [[-0.5], [0.5]], intercept * [-0.5, 0.5]
        coef = coef / self.scale
        all_coef = np.zeros((n_classes, len(self.columns)))
        all_intercept = np.full(n_classes, -np.inf)
        all_coef[model.classes_] = coef
        all_intercept[model.classes_] = intercept - coef @ self.mean
        return self.columns, self.scale, all_coef, all_intercept


class _FoldLogits:
    """Logits of the test samples of a fold, of the network and of regressions."""

    def __init__(self, fold, result, columns, train):
        self.columns, self.latent = columns, result.latent
        ridge = _Ridge(*train, columns)
        X = _dense(fold.X, columns)[fold.known]
        self.of_penalties = []
        for penalty in PENALTIES:
            _, _, coef, intercept = ridge.logits(penalty, self.latent.shape[1])
            self.of_penalties.append(X @ coef.T + intercept)


class _Mean:
    """Weighted mean of the logits in all folds, and its score."""

    def __init__(self, path, parts, temperature, penalty, share):
        self.penalty, self.share = penalty, share
        self.latents = [
            (1.0 - share) / temperature * part.latent
            + share * part.of_penalties[penalty]
            for part in parts
        ]
        own = path.temperature(self.latents)
        pairs = zip(path.folds, self.latents, strict=True)
        self.score = -np.mean(
            [log_losses(fold, latent[np.newaxis], own) for fold, latent in pairs]
        )


@torch.no_grad()
def _with_linear_part(model, state, part, share, temperature):
    """Return fitted attributes whose network has the linear part as further units.

    Each linear function is passed on by two units of each hidden layer, of z and -z.
    """
    columns, scale, coef, intercept = part
    lengths = np.linalg.norm(coef * scale, axis=0)
    importances = state["feature_importances_"]
    kept = (lengths > 0.0) | np.isin(columns, state["_columns_"])
    columns, coef, lengths = columns[kept], coef[:, kept], lengths[kept]
    factor = share * importances.sum() / lengths.sum()
    importances = importances * (1.0 - share)
    importances[columns] += (factor * lengths).astype(importances.dtype)

    module = state["module_"]
    layers = [(layer.weight, layer.bias) for layer in module.encoder[::2]]
    weight, bias = layers[0]
    places = np.searchsorted(columns, state["_columns_"])
    places = torch.from_numpy(places).to(weight.device)
    wide = weight.new_zeros(len(weight), len(columns)).index_copy(1, places, weight)
    coef, intercept = (torch.from_numpy(a).to(weight) for a in (coef, intercept))
    layers[0] = wide, bias
    one = torch.eye(len(intercept)).to(weight)
    turned = torch.cat([torch.cat([one, -one], 1), torch.cat([-one, one], 1)])
    linear = [
        (torch.cat([coef, -coef]), torch.cat([intercept, -intercept])),
        *[(turned, turned.new_zeros(len(turned)))] * (len(layers) - 2),
        (torch.cat([one, -one], 1), one.new_zeros(len(one))),
    ]
    factors = 2.0 * (1.0 - share) / temperature, 2.0 * share  # 2 for the mean of two
    for network, factor in zip((layers, linear), factors, strict=True):
        network[-1] = tuple(factor * part for part in network[-1])
    pairs = zip(layers, linear, strict=True)
    layers = merge_layers([zip(*pair, strict=True) for pair in pairs])
    # The decoder has to be fitted again.
    decoder = [(layer.weight, layer.bias) for layer in module.decoder[::2]]
    n_units = decoder[-1][0].shape[1]
    decoder[-1] = weight.new_zeros(len(columns), n_units), bias.new_zeros(len(columns))
    return state | {
        "module_": Autoencoder(
            mlp_from_layers(layers, model.activation),
            mlp_from_layers(decoder, model.activation),
        ),
        "_columns_": columns,
        "feature_importances_": importances,
        "n_selected_features_": int(np.count_nonzero(importances)),
    }


def _dense(X, columns):
    X = X[:, columns]
    X = X.toarray() if sparse.issparse(X) else X
    return X.astype(np.float64, order="C")
