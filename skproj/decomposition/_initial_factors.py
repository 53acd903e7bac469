"""Factors that a nonnegative matrix factorisation begins with."""

import numpy as np
from sklearn.utils import check_array, check_random_state
from sklearn.utils.extmath import randomized_svd


def initial_factors(X, W, H, *, n_components, init, random_state):
    """Return W and the transpose of H in float64.

    The arguments are the parameters of the estimator and the arguments of its `fit`.
    """
    if init == "custom":
        return _custom_factors(X, W, H, n_components)
    if W is not None or H is not None:
        raise ValueError('W and H are only used with init="custom".')
    n_components = X.shape[1] if n_components == "auto" else n_components
    n_most = min(X.shape)
    init = init or ("nndsvd" if n_components <= n_most else "random")
    random_state = check_random_state(random_state)
    if init == "random":
        return tuple(
            random_state.uniform(size=(n_rows, n_components)) for n_rows in X.shape
        )
    if n_components > n_most:
        raise ValueError(
            f"init={init!r} needs n_components <= min(n_samples, n_features) = "
            f'{n_most}, got {n_components}; use init="random".'
        )
    W, H = _split_singular_vectors(X, n_components, random_state)
    if init != "nndsvd":
        filling = np.sqrt(X.mean(dtype=np.float64) / n_components)
        for factor in (W, H):
            zero = factor == 0.0
            factor[zero] = filling
            if init == "nndsvdar":
                factor[zero] *= random_state.uniform(0.0, 0.01, zero.sum())
    return W, H


def _custom_factors(X, W, H, n_components):
    if W is None or H is None:
        raise ValueError('init="custom" needs both W and H.')
    checks = {"dtype": np.float64, "ensure_non_negative": True, "copy": True}
    W = check_array(W, input_name="W", **checks)
    H = check_array(H, input_name="H", **checks)
    n_components = len(H) if n_components == "auto" else n_components
    for name, factor, shape in (
        ("W", W, (X.shape[0], n_components)),
        ("H", H, (n_components, X.shape[1])),
    ):
        if factor.shape != shape:
            raise ValueError(f"{name} must have shape {shape}, got {factor.shape}.")
    return np.ascontiguousarray(W), np.ascontiguousarray(H.T)


def _split_singular_vectors(X, n_components, random_state):
    """Return nonnegative factors, the larger parts of pairs of singular vectors."""
    U, values, Vt = randomized_svd(
        X, n_components, power_iteration_normalizer="QR", random_state=random_state
    )
    U, V, values = (np.float64(part) for part in (U, Vt.T, values))
    positive, negative = (
        (np.maximum(sign * U, 0.0), np.maximum(sign * V, 0.0)) for sign in (1.0, -1.0)
    )
    sizes = [
        np.linalg.norm(u, axis=0) * np.linalg.norm(v, axis=0)
        for u, v in (positive, negative)
    ]
    chosen = sizes[0] >= sizes[1]
    W, H = (np.where(chosen, p, n) for p, n in zip(positive, negative, strict=True))
    return tuple(np.ascontiguousarray(F * np.sqrt(values)) for F in (W, H))
