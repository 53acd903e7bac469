"""Linear part of the network of a search: ridge regression on two selections."""

import numpy as np
import torch
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from skproj.blocks import RowBlocks
from skproj.linear_model._default_radius import choose_support, support_at
from skproj.nn._autoencoder_folds import log_losses, training_shares
from skproj.nn._training._network import Autoencoder, mlp_from_layers
from skproj.nn._training._units import largest_entry
from skproj.utils._calibration import fit_temperature
from skproj.utils._moments import mean_and_deviation
from skproj.utils._path_search import SCORE_PER_FACTOR

# Activations f with f(z) - f(-z) = z: two units pass on what one linear unit says.
PASSING = ("silu", "relu", "gelu")

# Weights of the linear part in the mean, and inverse ridge penalties, to choose from.
WEIGHTS = (0.25, 0.5, 0.75)
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)


def add_linear_part(path, candidate, model, encoded, X, sample_weight):
    """Add a candidate to a path: another one with a linear part, if that is better.

    The logits become the weighted mean of those of the network and of a ridge logistic
    regression on the features that the network or a linear model selects. The weight
    and the penalty are those with the least calibrated log loss of the folds, whose
    features and coefficients are those of the fold.

    Parameters
    ----------
    path : Path
        Changed in place.
    candidate : int
    model : SparseSupervisedAutoencoder
    encoded : EncodedTargets
    X : {ndarray, CSR matrix, RowBlocks} of shape (n_samples, n_features)
    sample_weight : ndarray of shape (n_samples,) or None

    Returns
    -------
    candidate : int
        The added one, or the given one if there is none.
    """
    has_logits = path.calibrated and model.loss == "cross_entropy"
    passes_on = model.activation in PASSING and model._hidden_sizes()
    if isinstance(X, RowBlocks) or not has_logits or not passes_on:
        return candidate
    structure, data = model._structure(), (X[encoded.rows], encoded.targets)
    try:
        selected, eta, learns = choose_support(
            "log_loss", *data, encoded.weight, structure
        )
    except ValueError:  # too few samples of a class, say
        return candidate
    if not learns:
        return candidate
    weight = np.ones(len(encoded.places)) if sample_weight is None else sample_weight
    folds = []
    for scorer in path.scorers:
        share = training_shares(encoded.places, weight, scorer.weight_train)
        of_fold = encoded.weight * share
        rows = np.flatnonzero(of_fold)
        train = data[0][rows], data[1][rows], of_fold[rows]
        try:
            union = support_at(eta, "log_loss", *train, structure)
            union[scorer.supports[candidate]] = True
            folds.append(_Fold(scorer, candidate, np.flatnonzero(union), train))
        except ValueError:  # one class, or no feature
            return candidate
    temperature = path.temperatures[candidate]
    best = max(
        (
            _Mean(folds, temperature, penalty, share, path.n_distinct)
            for penalty in range(len(PENALTIES))
            for share in WEIGHTS
        ),
        key=lambda mean: mean.score,
    )
    n_features = np.mean([len(fold.columns) for fold in folds])
    n_before = max(path.counts[:, candidate].mean(), 1.0)
    price = SCORE_PER_FACTOR / np.sqrt(X.shape[0]) * np.log(n_features / n_before)
    if best.score - price <= path.scores[:, candidate].mean():
        return candidate
    state = path.states[candidate]
    selected[state["_columns_"]] = True
    part = _Ridge(*data, encoded.weight, np.flatnonzero(selected))
    part = part.logits(PENALTIES[best.penalty], len(state["classes_"]))
    path.states.append(_with_linear_part(model, state, part, best.share, temperature))
    path.noises.append(path.noises[candidate])
    path.linear_weights.append(best.share)
    for fold, latent in zip(folds, best.latents, strict=True):
        fold.scorer.supports.append(fold.columns)
        fold.scorer.latents.append(latent)
    return len(path.states) - 1


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


class _Fold:
    """Logits of the test samples of a fold, of the network and of regressions."""

    def __init__(self, scorer, candidate, columns, train):
        self.scorer, self.columns = scorer, columns
        self.latent = scorer.latents[candidate]
        ridge = _Ridge(*train, columns)
        X = _dense(scorer.X, columns)[scorer.known]
        self.of_penalties = []
        for penalty in PENALTIES:
            _, _, coef, intercept = ridge.logits(penalty, self.latent.shape[1])
            self.of_penalties.append(X @ coef.T + intercept)


class _Mean:
    """Weighted mean of the logits in all folds, and its score."""

    def __init__(self, folds, temperature, penalty, share, n_distinct):
        self.penalty, self.share = penalty, share
        self.latents = [
            (1.0 - share) / temperature * fold.latent
            + share * fold.of_penalties[penalty]
            for fold in folds
        ]
        labels = [fold.scorer.labels for fold in folds]
        weights = [fold.scorer.weight for fold in folds]
        own = fit_temperature(
            *map(np.concatenate, (self.latents, labels, weights)), n_distinct
        )
        self.score = -np.mean(
            [
                log_losses(fold.scorer, latent[np.newaxis], own)
                for fold, latent in zip(folds, self.latents, strict=True)
            ]
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
    layers[0] = torch.cat([wide, coef, -coef]), torch.cat([bias, intercept, -intercept])
    one = torch.eye(len(intercept)).to(weight)
    turned = torch.cat([torch.cat([one, -one], 1), torch.cat([-one, one], 1)])
    for i, (weight, bias) in enumerate(layers[1:-1], 1):
        layers[i] = (
            torch.block_diag(weight, turned),
            torch.cat([bias, bias.new_zeros(2 * len(one))]),
        )
    weight, bias = layers[-1]
    rest = (1.0 - share) / temperature
    layers[-1] = torch.cat([rest * weight, share * one, -share * one], 1), rest * bias
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
