"""Sparse supervised autoencoder that chooses its radius by cross-validation."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from sklearn.metrics import get_scorer_names
from sklearn.utils import check_random_state
from sklearn.utils.metadata_routing import UNUSED

from skproj._typing import ArrayLike, HasArray, Integer, Labels, RandomState
from skproj.blocks import RowBlocks
from skproj.linear_model._substitutes import find_substitutes
from skproj.nn._autoencoder import SparseSupervisedAutoencoder
from skproj.nn._autoencoder_folds import as_indices, train_side_by_side
from skproj.nn._docs import AUTOENCODER_DOCS
from skproj.nn._linear_part import with_linear_part
from skproj.nn._schedule import SparsificationSchedule
from skproj.nn._targets import relative_weights
from skproj.nn._training._tensors import torch_threads
from skproj.utils._docs import shared_docs
from skproj.utils._path_search import ONE_STANDARD_ERROR, SELECTION_RULES, choose_row
from skproj.utils._splits import make_splits
from skproj.utils._stability import (
    STABILITY_ATTRIBUTES,
    STABILITY_DOCS,
    describe_selection,
)
from skproj.utils._state import store_parameters
from skproj.utils._validation import StrOptions, _fit_context, atomic_fit


@shared_docs(**AUTOENCODER_DOCS, stability=STABILITY_DOCS)
class SparseSupervisedAutoencoderCV(SparseSupervisedAutoencoder):
    r"""Sparse supervised autoencoder that chooses its radius by cross-validation.

    A run from dense to sparse passes every radius, so one run scores all of them: the
    networks of all the samples and of the folds are trained side by side. The radius
    is chosen by the scores of the folds.

    Parameters
    ----------
    {layers}
    etas : array-like of shape (n_etas,), default=None
        Radii to choose from. By default those that the run of all the samples passes,
        from all the features, with an infinite radius, down to one.
    cv : int, cross-validation generator or iterable, default=None
        How to split the samples, as in :class:`~sklearn.model_selection.GridSearchCV`.
        A number of folds, None for five, shuffles the samples with `random_state`; the
        folds are stratified, and keep groups together if `groups` are passed to `fit`.
        Others are used as they are.
    scoring : str or callable, default=None
        Criterion of the choice: the name of a scorer or a scorer. None is minus
        the log loss of probabilities that have been calibrated over all the folds: it
        sees a loss of features earlier than the accuracy does.
    selection_rule : str, default="parsimonious"
        One of {"parsimonious", "best", "one-standard-error"}. "best" takes
        the radius with the best mean score, "one-standard-error" the smallest one whose
        mean score is at most one standard error worse.
        "parsimonious" smooths the mean scores over similar numbers of features, and
        takes the best one less 0.6 / sqrt(n_samples) for each factor of e by which
        there are more than 30 features: twice as many must raise the score by 0.042 of
        100 samples.
    {ball}
    {feature_structure}
    {standardize}
    {classification_loss}
    {network}
    {schedule}
    {steps}
    {class_weight}
    calibrate : bool, default=True
        Whether to fit the temperature [3]_ of the class probabilities with the
        predictions of the folds for their test samples.
    linear_part : bool, default=True
        Whether to take the weighted mean of the logits of the network and of a ridge
        logistic regression, if that lowers the log loss of the folds by more than 0.6 /
        sqrt(n_samples) for each factor of e by which there are more features. The
        regression sees the features that the network or a linear model in the l1,2
        ball selects. It becomes a part of the network, as two more hidden units for
        each class. Used with the cross-entropy, the default scoring, data in memory, a
        hidden layer, the activations "silu", "relu" and "gelu", and another rule than
        "one-standard-error".
    {device}

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The class labels, in the order of the latent code.
    final_noise_ : float
        The noise in the last stage; that of the input if the stage with less noise was
        no better.
    best_index_ : int
        The row of `cv_results_` that was chosen.
    best_score_ : float
        Its mean score.
    cv_results_ : dict of ndarray
        A table with a row for each radius, in the form of
        :class:`~sklearn.model_selection.GridSearchCV`, with the mean number of
        selected features of the folds in ``"mean_n_features"``. After the radii comes
        the chosen one with less noise at the end, and the last row has the linear part
        if there is one, with its weight in ``"param_linear_weight"``.
    etas_ : ndarray of shape (n_etas,)
        The radii that were tried, from dense to sparse.
    path_rows_ : ndarray of int of shape (n_etas,)
        Their rows in `cv_results_`. One with less noise at the end may be chosen yet.
    n_features_path_ : ndarray of int of shape (n_etas,)
        Number of features selected at these radii with all the samples.
    importances_path_ : ndarray of shape (n_etas, n_features)
        Importances at these radii with all the samples.
    linear_weight_ : float
        Weight of the linear part in the mean; 0 without it. Its importances, the norms
        of coefficients of standardised features, count with this weight.
    temperature_ : float
        Divisor of the latent code in the softmax of `predict_proba`; 1 unless it was
        calibrated.
    {stability}
    {attributes}

    See Also
    --------
    SparseSupervisedAutoencoder : One radius, or one number of features.
    sklearn.model_selection.GridSearchCV : A search over any other parameter.

    Notes
    -----
    The folds keep as many features as the run of all the samples at the same step,
    whatever their own radius; and for few samples the folds are the parts that rank
    the features. The networks of the chosen radius are trained for one more stage with
    `final_noise`, and replaced if that makes the score of the folds better.

    Samples whose class is missing in the training part of a split do not count for
    the default score, nor for the calibration.

    {notes}

    Within each fit, equal samples are merged and their weights added up. The splits are
    made of the samples as they come: their order matters, and so does repeating a
    sample instead of giving it a weight.

    Callbacks see the run, but cannot end a search.

    {references}
    {calibration_reference}

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skproj import SparseSupervisedAutoencoderCV
    >>> X, y = make_classification(
    ...     n_samples=300, n_features=50, n_informative=4, n_redundant=0, random_state=0
    ... )
    >>> X = StandardScaler().fit_transform(X)
    >>> model = SparseSupervisedAutoencoderCV(max_epochs=10, cv=3, random_state=0)
    >>> model.fit(X, y).n_selected_features_ < 20
    True
    """

    best_index_: int
    best_score_: float
    cv_results_: dict[str, np.ndarray]
    etas_: np.ndarray
    n_features_path_: np.ndarray
    importances_path_: np.ndarray
    linear_weight_: float

    _parameter_constraints: dict = {  # noqa: RUF012
        **SparseSupervisedAutoencoder._parameter_constraints,
        "etas": ["array-like", None],
        "cv": ["cv_object"],
        "scoring": [StrOptions(set(get_scorer_names())), callable, None],
        "selection_rule": [StrOptions({"parsimonious", *SELECTION_RULES})],
        "linear_part": ["boolean"],
    }
    for _name in ("eta", "n_features_to_select"):
        _parameter_constraints.pop(_name)

    _of_every_version = (
        *SparseSupervisedAutoencoder._network_attributes,
        *SparseSupervisedAutoencoder._target_attributes,
        "best_index_",
        "best_score_",
        "cv_results_",
        "etas_",
        "final_noise_",
        "importances_path_",
        "n_features_path_",
    )
    _state_migrations = ({"linear_part": False},)
    _optional_attributes = ("linear_weight_", "path_rows_")  # of later versions
    # Files of the first versions do not know what the folds have kept.
    _fitted_attributes = (
        (*_of_every_version, *STABILITY_ATTRIBUTES),
        _of_every_version,
    )
    _feature_attributes = (
        *SparseSupervisedAutoencoder._feature_attributes,
        "importances_path_",
        "selection_frequency_",
    )
    __metadata_request__fit = {"groups": UNUSED}  # noqa: RUF012

    def __init__(
        self,
        hidden_layer_sizes: Integer | Sequence[Integer] | HasArray = (100,),
        *,
        etas: ArrayLike | None = None,
        cv: Any = None,
        scoring: str | Callable[..., Any] | None = None,
        selection_rule: str = "parsimonious",
        projection: str | Callable[..., Any] = "bilevel_l1inf",
        feature_weights: ArrayLike | None = None,
        always_keep: Labels | None = None,
        never_keep: Labels | None = None,
        feature_groups: Labels | Mapping[Any, Any] | None = None,
        standardize: bool = True,
        loss: str | Callable[..., Any] = "cross_entropy",
        activation: str = "silu",
        schedule: str | SparsificationSchedule = "consensus",
        max_epochs: Integer = 20,
        class_weight: Mapping[Any, Any] | str | None = None,
        calibrate: bool = True,
        linear_part: bool = True,
        device: str | torch.device = "auto",
        n_threads: Integer = 1,
        random_state: RandomState = None,
        verbose: bool = False,
    ) -> None:
        super().__init__()
        store_parameters(**locals())

    @shared_docs(**AUTOENCODER_DOCS)
    @_fit_context(prefer_skip_nested_validation=True)
    @atomic_fit
    def fit(self, X, y, sample_weight=None, *, groups=None):
        """Choose the radius, train the network and select features.

        Data that do not fit into memory are passed as
        :class:`~skproj.blocks.RowBlocks` in place of an array. The folds are read as
        the samples are, see :meth:`SparseSupervisedAutoencoder.fit`, and each model of
        a fold is scored in a pass. Splits are used in the order of the rows.

        Parameters
        ----------
        {fit_data}
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples, in training and in the scores. A sample of weight
            zero counts as absent, but not when the samples are split.
        groups : array-like of shape (n_samples,), default=None
            Groups, such as patients or batches, whose samples stay on the same side of
            each split. Metadata routing need not be enabled.

        {fit_results}

        Warns
        -----
        UserWarning
            If no feature is selected.
        """
        X, y = self._validate_for_fit(X, y)
        in_blocks = isinstance(X, RowBlocks)
        if sample_weight is not None:
            sample_weight = relative_weights(sample_weight, X)
        etas, model = self._checked_etas(), self._single_model()
        splits = make_splits(
            self.cv,
            np.zeros(len(y)) if in_blocks else X,
            y,
            classifier=True,
            groups=groups,
            random_state=model.random_state,
        )
        if in_blocks:  # which are read from the first row to the last
            splits = [tuple(np.sort(as_indices(p)) for p in split) for split in splits]
        context = self._init_callback_context(max_subtasks=None)
        # Arguments of the hooks: a search has no network of its own until the end.
        arguments = {"estimator": self, "X": X, "y": y, "metadata": {}}
        if sample_weight is not None:
            arguments["metadata"]["sample_weight"] = sample_weight
        context.call_on_fit_task_begin(**arguments)
        # Callbacks may not stop: half a path cannot be compared.
        encoded, trainer = model._prepare(
            X, y, sample_weight, context, callbacks_may_stop=False
        )
        path = train_side_by_side(
            model,
            encoded,
            trainer,
            X,
            splits,
            y=y,
            sample_weight=sample_weight,
            etas=etas,
            scoring=self.scoring,
        )
        self._choose(path, model, encoded, X, sample_weight)
        with torch_threads(self.n_threads):
            self._fit_decoder(trainer.data)
        context.call_on_fit_task_end(**arguments)
        self._warn_if_few_are_selected()
        return self

    @property
    def partial_fit(self):
        """Hide the method of the parent."""
        raise AttributeError(
            "There is no partial_fit: the choice of a radius needs all the data."
        )

    def _choose(self, path, model, encoded, X, sample_weight):
        """Take the state of the best candidate of a path."""
        candidates = path.candidates
        table = path.table()  # refuses scores that are not finite
        self.path_rows_ = np.arange(len(candidates))
        self.etas_ = table["param_eta"]
        best = choose_row(
            self._projection().density(self.etas_),
            path.scores,
            self.selection_rule,
            n_features=path.counts,
            n_samples=X.shape[0],
            paths=np.zeros(len(candidates), dtype=int),
        )
        self.n_features_path_ = np.array(
            [candidate.state["n_selected_features_"] for candidate in candidates]
        )
        self.importances_path_ = np.array(
            [candidate.state["feature_importances_"] for candidate in candidates]
        )
        schedule = self._schedule()
        if schedule.final_noise < schedule.input_noise:
            candidates.append(candidates[best].refine(schedule.final_noise))
            means = path.scores.mean(axis=0)
            best = len(means) - 1 if means[-1] > means[best] else best
        if self.linear_part and self.selection_rule != ONE_STANDARD_ERROR:
            mean = with_linear_part(path, best, model, encoded, X, sample_weight)
            if mean is not None:
                candidates.append(mean)
                best = len(candidates) - 1
        self.cv_results_ = path.table()
        self.best_index_ = best
        self.best_score_ = self.cv_results_["mean_test_score"][best]
        self.final_noise_ = candidates[best].noise
        self.linear_weight_ = candidates[best].linear_weight
        self._set_state(candidates[best].state)
        selected = self.get_support(indices=True)
        substitutes = find_substitutes(
            X,
            selected,
            names=getattr(self, "feature_names_in_", None),
            sample_weight=sample_weight,
        )
        supports = path.supports(best, X.shape[1])
        self._set_state(describe_selection(supports, substitutes))
        if self.calibrate:
            self.temperature_ = float(path.temperatures[best])

    def _checked_etas(self):
        """Return the radii to try, dense to sparse, or None for those of the run."""
        kind = self._schedule().kind
        if kind != "consensus":
            raise ValueError(
                f"schedule={kind!r} passes no other radii: search with GridSearchCV "
                "over eta."
            )
        if self.etas is None:
            return None
        etas = distinct_numbers(self.etas)
        if etas is None or not np.all(etas > 0.0):
            raise ValueError(f"etas must hold positive numbers, got {self.etas!r}.")
        projection = self._projection()
        etas = map(projection.check_eta, etas)
        return sorted(etas, key=projection.density, reverse=True)

    def _single_model(self):
        """Return the estimator that is fitted along the path."""
        parameters = self.get_params(deep=False)
        for name in ("etas", "cv", "scoring", "selection_rule", "linear_part"):
            del parameters[name]
        # The folds are arrays, without names.
        parameters |= self._indexed_parameters()
        # Nothing is held back: the calibration takes the predictions of the folds.
        parameters["calibrate"] = False
        if not isinstance(self.random_state, numbers.Integral):
            # The folds start from the weights that all the data start from.
            random_state = check_random_state(self.random_state)
            parameters["random_state"] = random_state.randint(2**31 - 1)
        model = SparseSupervisedAutoencoder(**parameters)
        model.n_features_in_ = self.n_features_in_
        return model


def distinct_numbers(values):
    """Return the sorted numbers of a list, or None if it is no list of numbers."""
    try:
        numbers = np.unique(np.asarray(values, dtype=np.float64))
    except (TypeError, ValueError):
        return None
    return numbers if np.ndim(values) == 1 and len(numbers) > 0 else None
