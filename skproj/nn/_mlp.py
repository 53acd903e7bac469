"""Multilayer perceptrons at a prescribed sparsity: a classifier and a regressor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from scipy.special import expit, softmax

from skproj._typing import ArrayLike, HasArray, Integer, Number, RandomState
from skproj.nn._base_mlp import BaseSparseMLP
from skproj.nn._docs import MLP_DOCS
from skproj.nn._targets import NetworkClassifierMixin, NetworkRegressorMixin
from skproj.nn._training._objectives import REGRESSION_LOSSES, cross_entropy, logistic
from skproj.utils._docs import shared_docs
from skproj.utils._state import store_parameters
from skproj.utils._validation import StrOptions


@shared_docs(**MLP_DOCS)
class SparseMLPClassifier(NetworkClassifierMixin, BaseSparseMLP):
    r"""Multilayer perceptron classifier with as many zero weights as one asks for.

    The weights minimise

    .. math::

        \frac{1}{n} \sum_i w_i \, \text{CrossEntropy}(y_i, z_i) +
        \alpha \sum_k \|W_k\|_1

    where :math:`z_i` is the output of the network for a sample, :math:`w_i` the weight
    of the sample, :math:`W_k` the weights of a layer, and :math:`\alpha` is found such
    that the share `target_sparsity` of all weights is exactly zero. With `method`
    "projected" there is no penalty; weights are removed until so many are left.

    Parameters
    ----------
    {sparsity}
    {steps}
    {class_weight}
    {running}

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The class labels. Two classes have one output in common, others one each.
    {attributes}

    See Also
    --------
    SparseMLPRegressor : The same for a regression.
    find_l1_weight : The search for any model.
    Sparsifier : Removal of weights in any training loop.
    SparseSupervisedAutoencoder : Selects features by a projection.

    Notes
    -----
    {notes}

    {l1_training_reference}

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skproj import SparseMLPClassifier
    >>> X, y = make_classification(
    ...     n_samples=400, n_features=50, n_informative=4, random_state=0
    ... )
    >>> X = StandardScaler().fit_transform(X)
    >>> model = SparseMLPClassifier(target_sparsity=0.95, random_state=0).fit(X, y)
    >>> round(model.sparsity_, 3)
    0.95
    >>> model.score(X, y) > 0.9
    True
    """

    _parameter_constraints: dict = {  # noqa: RUF012
        **BaseSparseMLP._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }

    def __init__(
        self,
        hidden_layer_sizes: Integer | Sequence[Integer] | HasArray = (100,),
        *,
        target_sparsity: Number | ArrayLike = 0.9,
        method: str = "l1",
        alpha: Number | ArrayLike | None = None,
        penalty: str = "l1",
        sparsity_tol: Number = 0.01,
        max_search_iter: Integer = 20,
        trim: bool = True,
        debias: bool = True,
        activation: str = "relu",
        solver: str = "adam",
        max_epochs: Integer = 100,
        batch_size: Integer | str = "auto",
        learning_rate_init: Number | str = "auto",
        weight_decay: Number = 0.0,
        early_stopping: bool = False,
        validation_fraction: Number = 0.1,
        n_iter_no_change: Integer = 10,
        tol: Number = 1e-4,
        class_weight: Mapping[Any, Any] | str | None = None,
        warm_start: bool = False,
        device: str | torch.device = "auto",
        n_threads: Integer = 1,
        random_state: RandomState = None,
        verbose: bool = False,
    ) -> None:
        store_parameters(**locals())

    def _n_network_outputs(self, encoded):
        return 1 if encoded.n_outputs == 2 else encoded.n_outputs

    def _loss(self, encoded):
        return logistic if encoded.n_outputs == 2 else cross_entropy

    def _out_activation(self, encoded):
        return "logistic" if encoded.n_outputs == 2 else "softmax"

    def _decision(self, X):
        output = self._output(X)
        return output.ravel() if len(self.classes_) == 2 else output

    def _probabilities(self, X):
        output = self._output(X)
        if len(self.classes_) == 2:
            return np.hstack([expit(-output), expit(output)])
        return softmax(output, axis=1)


@shared_docs(**MLP_DOCS)
class SparseMLPRegressor(NetworkRegressorMixin, BaseSparseMLP):
    r"""Multilayer perceptron regressor with as many zero weights as one asks for.

    The weights minimise

    .. math::

        \frac{1}{n} \sum_i w_i \, \text{loss}(y_i, z_i) + \alpha \sum_k \|W_k\|_1

    where the targets :math:`y_i` have been scaled to mean 0 and variance 1,
    :math:`z_i` is the output of the network for a sample, :math:`w_i` the weight of
    the sample, :math:`W_k` the weights of a layer, and :math:`\alpha` is found such
    that the share `target_sparsity` of all weights is exactly zero. With `method`
    "projected" there is no penalty; weights are removed until so many are left.

    Parameters
    ----------
    {sparsity}
    {loss}
    {steps}
    {running}

    Attributes
    ----------
    {target_scaling}
    {attributes}

    See Also
    --------
    SparseMLPClassifier : The same for a classification.
    find_l1_weight : The search for any model.
    Sparsifier : Removal of weights in any training loop.
    SparseSupervisedAutoencoderRegressor : Selects features by a projection.

    Notes
    -----
    {notes}

    {l1_training_reference}

    Examples
    --------
    >>> from sklearn.datasets import make_regression
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skproj import SparseMLPRegressor
    >>> X, y = make_regression(
    ...     n_samples=400, n_features=50, n_informative=4, random_state=0
    ... )
    >>> X = StandardScaler().fit_transform(X)
    >>> model = SparseMLPRegressor(target_sparsity=0.95, random_state=0).fit(X, y)
    >>> round(model.sparsity_, 3)
    0.95
    >>> model.score(X, y) > 0.95
    True
    """

    _parameter_constraints: dict = {  # noqa: RUF012
        **BaseSparseMLP._parameter_constraints,
        "loss": [StrOptions(set(REGRESSION_LOSSES))],
    }

    def __init__(
        self,
        hidden_layer_sizes: Integer | Sequence[Integer] | HasArray = (100,),
        *,
        target_sparsity: Number | ArrayLike = 0.9,
        method: str = "l1",
        alpha: Number | ArrayLike | None = None,
        penalty: str = "l1",
        sparsity_tol: Number = 0.01,
        max_search_iter: Integer = 20,
        trim: bool = True,
        debias: bool = True,
        loss: str | Callable[..., Any] = "squared_error",
        activation: str = "relu",
        solver: str = "adam",
        max_epochs: Integer = 100,
        batch_size: Integer | str = "auto",
        learning_rate_init: Number | str = "auto",
        weight_decay: Number = 0.0,
        early_stopping: bool = False,
        validation_fraction: Number = 0.1,
        n_iter_no_change: Integer = 10,
        tol: Number = 1e-4,
        warm_start: bool = False,
        device: str | torch.device = "auto",
        n_threads: Integer = 1,
        random_state: RandomState = None,
        verbose: bool = False,
    ) -> None:
        store_parameters(**locals())

    def _loss(self, encoded):
        return REGRESSION_LOSSES[self.loss]

    def _out_activation(self, encoded):
        return "identity"
