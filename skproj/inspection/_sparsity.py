"""Display of the share of zero weights in each layer."""

import numpy as np
from sklearn.utils import check_consistent_length

from skproj.inspection import _common
from skproj.utils._docs import shared_docs


@shared_docs(**_common.DOCS)
class SparsityDisplay:
    """Share of the weights that are zero, layer by layer.

    Create it with `from_estimator`, `from_report` or `from_weights`.

    Parameters
    ----------
    layer_names : array-like of str of shape (n_layers,)
        Names of the layers.
    n_zeros, n_weights : array-like of int of shape (n_layers,)
        Number of weights of each layer that are zero, and number of all its weights.

    Attributes
    ----------
    fraction_zeros : ndarray of shape (n_layers,)
        Share of the weights that are zero in each layer.
    {axes}
    bars_kept_, bars_zero_ : matplotlib BarContainer
        The shares of weights that are not zero, and of those that are.
    axis_counts_ : matplotlib SecondaryAxis
        The axis on the right, with the number of weights that are not zero.

    See Also
    --------
    WeightsDisplay : Where the zeros are.
    skproj.nn.prune.sparsity_report : The numbers of any network, as a table.

    {l1_training_reference}

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skproj.decomposition import GroupSparseNMF
    >>> from skproj.inspection import SparsityDisplay
    >>> X, _ = load_digits(return_X_y=True)
    >>> model = GroupSparseNMF(5, sparsity_H=0.8, max_iter=50, tol=0.1).fit(X)
    >>> display = SparsityDisplay.from_estimator(model)
    >>> display.n_weights
    array([64, 64, 64, 64, 64])
    """

    def __init__(self, *, layer_names, n_zeros, n_weights):
        self.layer_names = np.asarray(layer_names, dtype=str)
        self.n_zeros = np.asarray(n_zeros)
        self.n_weights = np.asarray(n_weights)
        check_consistent_length(self.layer_names, self.n_zeros, self.n_weights)
        self.fraction_zeros = self.n_zeros / np.maximum(self.n_weights, 1)

    @classmethod
    def from_estimator(cls, estimator, *, ax=None):
        """Draw the layers of a fitted estimator.

        Parameters
        ----------
        estimator : estimator object
            A fitted network, autoencoder (its first layer) or linear model, or a
            factorisation, each of whose components counts as a layer; or a pipeline or
            search with one.
        {drawn}

        {not_fitted}
        TypeError
            If it has no weights.
        """
        attribute, matrices = _common.find_weights(estimator)
        layers = matrices[0] if attribute == "components_" else matrices
        name = {"components_": "component", "coefs_": "layer"}.get(attribute)
        names = [f"{name} {i}" if name else attribute for i in range(len(layers))]
        weights = dict(zip(names, layers, strict=True))
        return cls.from_weights(weights, ax=ax)

    @classmethod
    def from_report(cls, report, *, ax=None):
        """Draw a report on the layers of a network.

        Parameters
        ----------
        report : SparsityReport
            Result of :func:`~skproj.nn.prune.sparsity_report`.
        {drawn}

        Raises
        ------
        TypeError
            If `report` is something else.
        """
        if not hasattr(report, "layers"):
            raise TypeError(
                "report must be what skproj.nn.prune.sparsity_report(model) returns, "
                f"got {type(report).__name__} instead."
            )
        return cls(
            layer_names=[layer.name or "(model)" for layer in report.layers],
            n_zeros=[layer.n_zeros for layer in report.layers],
            n_weights=[layer.n_parameters for layer in report.layers],
        ).plot(ax)

    @classmethod
    def from_weights(cls, weights, *, ax=None):
        """Draw any arrays, such as both factors of a factorisation.

        Parameters
        ----------
        weights : dict of str to array-like
            Name and weights of each layer.
        {drawn}
        """
        arrays = [np.asarray(W) for W in weights.values()]
        return cls(
            layer_names=list(weights),
            n_zeros=[W.size - np.count_nonzero(W) for W in arrays],
            n_weights=[W.size for W in arrays],
        ).plot(ax)

    def plot(self, ax=None):
        """Draw the shares.

        {plot}
        """
        n_layers = len(self.layer_names)
        self.ax_ = ax = _common.single_axes(ax, n_bars=n_layers)
        self.figure_ = ax.figure
        places, zeros = np.arange(n_layers), 100 * self.fraction_zeros
        self.bars_kept_ = ax.barh(places, 100 - zeros, label="not zero", **_common.KEPT)
        style = {"left": 100 - zeros, "label": "zero", **_common.REMOVED}
        self.bars_zero_ = ax.barh(places, zeros, **style)
        _common.label_bars(ax, self.layer_names)
        pairs = zip(self.n_weights - self.n_zeros, self.n_weights, strict=True)
        self.axis_counts_ = ax.secondary_yaxis("right")
        self.axis_counts_.set_yticks(places, [f"{n} of {total}" for n, total in pairs])
        self.axis_counts_.set_ylabel("Weights that are not zero")
        ax.set_xlim(0.0, 100.0)
        ax.set_xlabel("Share of the weights (%)")
        self.legend_ = _common.legend_above(ax, [self.bars_kept_, self.bars_zero_])
        return self
