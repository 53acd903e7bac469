"""The models that a selection is compared with."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from skproj.cli._arguments import make_parser
from skproj.cli._baselines import StrongestFeatures, baselines
from skproj.cli._problem import Problem
from skproj.utils._survival import DTYPE

N_ROWS, N_FEATURES, N_SELECTED = 40, 9, 3


def make_problem(task, method="selector"):
    """Return a problem of which only the first column is of use."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_ROWS, N_FEATURES)).astype(np.float32)
    y = X[:, 0] + 0.1 * rng.normal(size=N_ROWS)
    if task == "classification":
        y = np.where(y > 0.0, "high", "low")
    elif task == "survival":
        y = np.array([(True, np.exp(-value)) for value in y], dtype=DTYPE)
    return Problem(
        X=X,
        y=y,
        names=[f"x{j}" for j in range(N_FEATURES)],
        task=task,
        method=method,
        options=make_parser().parse_args(["select", "a.csv", "--target", "y"]),
    )


@pytest.mark.parametrize(
    ("task", "method"),
    [
        ("classification", "selector"),
        ("classification", "autoencoder"),
        ("regression", "selector"),
        ("regression", "autoencoder"),
        ("survival", "selector"),
    ],
)
def test_baselines_use_as_many_features_as_they_say(task, method):
    """All, as many as the selection or none, of dense and of sparse data."""
    problem = make_problem(task, method)
    support = np.arange(N_FEATURES) < N_SELECTED
    for X in (problem.X, sparse.csr_matrix(problem.X)):
        models = baselines(replace(problem, X=X), support)
        names = [name for name, _, _ in models]
        assert len(set(names)) == len(names)  # the results of each are kept by its name
        numbers = {number for _, number, _ in models}
        assert numbers == {0, N_SELECTED, N_FEATURES}
        for name, number, model in models:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                predicted = model.fit(X, problem.y).predict(X)
            assert predicted.shape == (N_ROWS,), name
            if number == 0:
                assert len(np.unique(predicted)) == 1, name
                continue
            assert np.mean(predicted == predicted[0]) < 1.0, name
            chooses = [s for s in model if isinstance(s, StrongestFeatures)]
            assert [s.get_support().sum() for s in chooses] == [number] * (
                number == N_SELECTED
            )
            assert all(s.get_support()[0] for s in chooses)
