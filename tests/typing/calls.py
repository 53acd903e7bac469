"""Calls that mypy accepts, and calls that it refuses, each with an error to expect.

mypy reads this file in `make lint`; it is not run. An `ignore` that hides no error is
an error itself, so that a type that is lost is noticed.
"""

from typing import assert_type

import numpy as np
import torch

import skproj
from skproj import datasets, metrics, projection
from skproj.nn import Sparsifier, functional

X = np.eye(3)
tensor = torch.eye(3)

# What is right.
projection.projection_l1inf_ball(X, 1.0, axis=(0, 1), out=X, n_threads=-1)
projection.projection_l1inf_ball([[1.0, 2], [3, 4]], np.float32(1))
projection.projection_l12_ball(tensor, 2)
projection.projection_simplex([1, 2, 3], axis=None, return_threshold=True)
projection.projection_weighted_l1_ball(X, 1.0, 2.0)
projection.projection_multilevel(X, 1.0, (1, np.inf), axes=(0, 1))
projection.projection_bilevel_l12_ball(X, 1.0)
projection.projection_hoyer([X, X], 0.5, out=[X, X], per_vector=True)
projection.prox_l1(X, 0.1)
assert_type(projection.norm_l1inf(X), float)
assert_type(projection.radius_for_sparsity(X, n_groups=2), float)
assert_type(functional.projection_l1inf_ball(tensor, 1.0), torch.Tensor)
assert_type(functional.projection_l1inf_ball_(tensor, 1.0, dim=1), torch.Tensor)
assert_type(functional.projection_n_of_m(tensor, 1, 3), torch.Tensor)
functional.projection_hoyer([tensor], 0.5, scale="keep_l2")
assert_type(metrics.integrated_brier_score(X, X, X, [1.0, 2.0]), float)
datasets.make_omics(100, 200, random_state=0)
datasets.add_probes(X, 10)
selector = skproj.ProjectionFeatureSelector(eta=1.0, always_keep=["a"])
assert_type(selector.eta_, float)
skproj.StabilitySelector(selector, n_pairs=10)
assert_type(skproj.GroupSparseNMF(2, sparsity_H=0.5).components_, np.ndarray)
network = skproj.SparseMLPClassifier(
    (10, 5), target_sparsity=[0.5, 0.9], method="projected"
)
assert_type(network.coefs_, list[np.ndarray])
autoencoder = skproj.SparseSupervisedAutoencoder(eta=1.0)
assert_type(autoencoder.n_selected_features_, int)

# What is wrong.
projection.projection_l1inf_ball("wrong", 1.0)  # type: ignore[arg-type]
projection.projection_l1inf_ball(X, radius="x")  # type: ignore[arg-type]
projection.projection_l1inf_ball(X)  # type: ignore[call-arg]
projection.projection_l1inf_ball(X, 1.0, 0)  # type: ignore[call-arg]
projection.projection_l12_ball(X, 1.0, axis=0.5)  # type: ignore[arg-type]
projection.projection_l12_ball(X, 1.0, dim=0)  # type: ignore[call-arg]
projection.projection_bilevel_l12_ball(X, None)  # type: ignore[arg-type]
projection.projection_l1_ball(X, 1.0, out=1.0)  # type: ignore[arg-type]
projection.projection_hoyer(X, 0.5, scale="l1")  # type: ignore[arg-type]
projection.projection_multilevel(X, 1.0, norms=1)  # type: ignore[arg-type]
projection.norm_l1inf(1.0)  # type: ignore[arg-type]
projection.radius_for_sparsity(X, n_groups=0.5)  # type: ignore[arg-type]
functional.projection_l1inf_ball(X, 1.0)  # type: ignore[arg-type]
functional.projection_l1inf_ball(tensor, 1.0, axis=0)  # type: ignore[call-arg]
functional.projection_l1inf_ball_(tensor, "x")  # type: ignore[arg-type]
functional.projection_hoyer_(tensor, "x")  # type: ignore[arg-type]
metrics.concordance_index_censored("a", [1.0], [1.0])  # type: ignore[arg-type]
datasets.make_survival(n_samples="many")  # type: ignore[arg-type]
skproj.ProjectionFeatureSelector(eta="large")  # type: ignore[arg-type]
skproj.ProjectionFeatureSelectorCV(30, keep=0.9)  # type: ignore[call-arg]
skproj.StabilitySelector(n_pairs="ten")  # type: ignore[arg-type]
skproj.GroupSparseNMF(2, 0.5)  # type: ignore[call-arg]
skproj.SparseMLPRegressor(max_epochs="many")  # type: ignore[arg-type]
skproj.SparseSupervisedAutoencoder(calibrate="yes")  # type: ignore[arg-type]
skproj.SparseSupervisedAutoencoderCV(etas="all")  # type: ignore[arg-type]
Sparsifier(tensor, None, n_steps=1)  # type: ignore[arg-type]
