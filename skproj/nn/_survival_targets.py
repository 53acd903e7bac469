"""Survival times as targets of a network that predicts the log hazard."""

import math

import numpy as np
from sklearn.utils.metaestimators import available_if

from skproj.blocks._duplicates import merge_duplicates
from skproj.linear_model._cox import SurvivalPredictionMixin, breslow, log_hazard_until
from skproj.nn._targets import EncodedTargets, relative_weights
from skproj.utils._survival import read_times


def _is_cox(estimator):
    if estimator.loss != "cox":
        raise AttributeError('Probabilities of survival need loss="cox".')
    return True


class SurvivalMixin:
    """Mixin of a regressor whose `loss` may be "cox"; otherwise it changes nothing.

    The targets are whether the event was seen, and the cumulative hazard until the
    time if no feature had an effect.
    """

    _optional_attributes = ("_stream_", "event_times_", "log_cumulative_hazard_")

    predict_survival = available_if(_is_cox)(SurvivalPredictionMixin.predict_survival)

    def score(self, X, y, sample_weight=None):
        """Return R2, or with ``loss="cox"`` Harrell's concordance index.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            True targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.

        Returns
        -------
        score : float
            At most 1, the best.
        """
        if self.loss != "cox":
            return super().score(X, y, sample_weight)
        return SurvivalPredictionMixin.score(self, X, y, sample_weight)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        if self.loss == "cox":
            tags.estimator_type, tags.regressor_tags = None, None
            tags.target_tags.positive_only = True
            tags.target_tags.multi_output = False
        return tags

    def _validate_data(self, X, y, *, reset=True):
        if self.loss != "cox":
            return super()._validate_data(X, y, reset=reset)
        y = read_times(y, type(self).__name__)
        X, _ = super()._validate_data(X, y["time"], reset=reset)
        return X, y

    def _check_partial_fit(self):
        super()._check_partial_fit()
        if self.loss == "cox":
            raise AttributeError('partial_fit is not possible with loss="cox".')

    def _encode_targets(self, X, y, sample_weight):
        if self.loss != "cox":
            return super()._encode_targets(X, y, sample_weight)
        weight = relative_weights(sample_weight, X)
        _, labels = np.unique(y, return_inverse=True)
        rows, weight, places = merge_duplicates(X, labels, weight)
        y = y[rows]
        if not y["event"].any():
            raise ValueError("y must have an event: all its samples are censored.")
        hazards = breslow(y, np.zeros(len(y)), weight)
        hazard = np.exp(log_hazard_until(y["time"], *hazards))
        return EncodedTargets(
            rows=rows,
            weight=weight,
            targets=np.column_stack([y["event"], hazard]).astype(X.dtype),
            n_outputs=1,
            attributes={
                "target_mean_": np.zeros(1),
                "target_scale_": np.ones(1),
                "n_outputs_": 1,
                "_y_ndim_": 1,
            },
            places=places,
        )

    def _fit_predictions(self, X, y, sample_weight):
        for name in ("event_times_", "log_cumulative_hazard_"):
            vars(self).pop(name, None)
        if self.loss != "cox":
            return
        weight = relative_weights(sample_weight, X)
        latent = self._apply_to_valid(lambda module, rows: module.encoder(rows), X)
        risk = latent[:, 0].astype(np.float64)
        # Exact sums do not depend on the order of the rows.
        mean = math.fsum(weight * risk) / math.fsum(weight)
        self.target_mean_ = np.array([-mean])
        present = weight > 0.0
        self.event_times_, self.log_cumulative_hazard_ = breslow(
            y[present], (risk + self.target_mean_)[present], weight[present]
        )
