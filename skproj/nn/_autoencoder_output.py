"""Methods of a fitted autoencoder: to encode, to decode, and to select features."""

import copy

import numpy as np
import torch
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_array

from skproj.nn._docs import PREDICTION_DOCS
from skproj.nn._training._network import first_layer
from skproj.nn._training._tensors import (
    resolve_device,
    to_tensor,
    torch_dtype,
    torch_threads,
)
from skproj.utils._docs import shared_docs
from skproj.utils._features import of_columns
from skproj.utils._validation import SUPPORTED_DTYPES, check_is_fitted


class AutoencoderOutputMixin(ClassNamePrefixFeaturesOutMixin, TransformerMixin):
    """Mixin of a `BaseNetwork` whose `module_` is an autoencoder of some features."""

    # Fitted attributes whose last axis is that of the features.
    _feature_attributes = (
        "feature_importances_",
        "feature_mean_",
        "feature_scale_",
        "reconstruction_error_",
    )

    @shared_docs(**PREDICTION_DOCS)
    def transform(self, X):
        """Encode the samples.

        {data_and_returns}
        latent : ndarray of shape (n_samples, n_outputs)
            The latent code, one column per class or target.
        """
        return self._latent(X)

    @shared_docs(**PREDICTION_DOCS)
    def reconstruct(self, X):
        """Encode and decode the samples.

        {data_and_returns}
        reconstruction : ndarray of shape (n_samples, n_features)
            Output of the decoder; zero for features that were not selected.

        """
        self._check_decoder()
        selected = self._apply(
            lambda module, rows: module.decoder(module.encoder(rows)), X
        )
        return self._in_all_columns(selected)

    def inverse_transform(self, Z):
        """Decode latent codes.

        Parameters
        ----------
        Z : array-like of shape (n_samples, n_outputs)
            Latent codes, as `transform` returns them.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Output of the decoder; zero for features that were not selected.
        """
        self._check_decoder()
        Z = check_array(Z, dtype=SUPPORTED_DTYPES, input_name="Z")
        if Z.shape[1] != self._n_features_out:
            raise ValueError(
                f"Z must have {self._n_features_out} columns, those of transform, got "
                f"{Z.shape[1]}."
            )
        device = resolve_device(self.device)
        decoder = self.module_.decoder.to(device).eval()
        with torch_threads(self.n_threads), torch.inference_mode():
            code = to_tensor(np.array(Z), device).to(torch_dtype(self._dtype))
            selected = decoder(code).cpu().numpy().astype(Z.dtype, copy=False)
        return self._in_all_columns(selected)

    def _check_decoder(self):
        check_is_fitted(self)
        if self.reconstruction_error_ is None:
            raise ValueError(
                "There is no trained decoder: this model was saved by an earlier "
                "version; fit it again."
            )

    def get_support(self, indices=False):
        """Return which features were selected.

        Parameters
        ----------
        indices : bool, default=False
            Whether to return indices instead of a mask.

        Returns
        -------
        support : ndarray of shape (n_features,) or (n_selected_features_,)
            Boolean mask, or the indices of the selected features.
        """
        check_is_fitted(self)
        support = self.feature_importances_ != 0
        return np.flatnonzero(support) if indices else support

    def compact(self):
        """Return an equal model that takes the selected features only.

        Its input is ``X[:, self.get_support()]``. It needs memory and time in
        proportion to the number of selected features.

        Returns
        -------
        model : object
            A fitted estimator of the same class, with
            ``n_features_in_ == n_selected_features_``.

        Raises
        ------
        ValueError
            If no feature is selected.
        """
        check_is_fitted(self)
        if len(self._columns_) == 0:
            raise ValueError("No feature is selected, so there is no compact model.")
        model = copy.deepcopy(self)
        vars(model).pop("_stream_", None)
        indexed = self._indexed_parameters()
        model.set_params(**of_columns(indexed, self._columns_))
        model.n_features_in_ = len(self._columns_)
        model._columns_ = np.arange(len(self._columns_))
        for name in (*self._feature_attributes, "feature_names_in_"):
            if getattr(self, name, None) is not None:
                setattr(model, name, getattr(self, name)[..., self._columns_])
        return model

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _latent(self, X):
        """Return the latent code, which is what the network predicts from."""
        return self._apply(lambda module, rows: module.encoder(rows), X)

    _output = _latent

    @property
    def _n_features_out(self):
        """Length of the latent code, which scikit-learn makes names for."""
        return self.module_.encoder[-1].out_features

    @property
    def encoder_weights_(self):
        """First-layer weights of the encoder, of shape (n_hidden, n_features)."""
        check_is_fitted(self)
        return self._in_all_columns(first_layer(self.module_).cpu().numpy())

    def _in_all_columns(self, selected):
        """Return an array with zeros for the features that were not selected."""
        columns = np.zeros((len(selected), self.n_features_in_), dtype=selected.dtype)
        columns[:, self._columns_] = selected
        return columns
