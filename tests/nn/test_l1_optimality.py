"""Conditions of optimality of an l1 penalty."""

import numpy as np
import pytest
import torch
from sklearn.datasets import make_regression
from sklearn.linear_model import Lasso
from torch import nn
from torch.nn import functional as F

from skproj.nn import check_l1_optimality


def half_squared_error(output, target):
    return F.mse_loss(output, target) / 2


def make_lasso(alpha):
    """A linear module with the weights of the lasso, and its data in uneven batches."""
    X, y = make_regression(60, 20, n_informative=5, noise=3.0, random_state=0)
    lasso = Lasso(alpha=alpha, tol=1e-12, max_iter=100_000).fit(X, y)
    model = nn.Linear(20, 1, dtype=torch.float64)
    with torch.no_grad():
        model.weight.copy_(torch.tensor(lasso.coef_)[None])
        model.bias.fill_(lasso.intercept_)
    X, y = torch.tensor(X), torch.tensor(y)[:, None]
    ends = [7, 43]
    batches = zip(np.split(X, ends), np.split(y, ends), strict=True)
    return model, [(torch.as_tensor(a), torch.as_tensor(b)) for a, b in batches]


@pytest.mark.parametrize("alpha", [0.5, 5.0, 50.0])
def test_lasso_is_stationary(alpha):
    model, loader = make_lasso(alpha)
    before = model.weight.clone()
    found = check_l1_optimality(model, half_squared_error, loader, l1=alpha)
    assert found.keys() == {"weight"}
    assert found["weight"].largest < 1e-6 * alpha
    assert found["weight"].l1 == alpha
    assert torch.equal(model.weight, before)
    assert model.weight.grad is None
    # At another l1 weight all that is not zero misses it by the difference.
    found = check_l1_optimality(model, half_squared_error, loader, l1=alpha / 2)
    assert found["weight"].largest == pytest.approx(alpha / 2, rel=1e-5)
    assert found["weight"].largest >= found["weight"].mean > 0


def test_violations_of_layers():
    """By the definition, with the gradients of autograd."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4), nn.Linear(4, 2))
    with torch.no_grad():
        model[0].weight[:3] = 0.0
        model[2].weight.zero_()
    X, y = torch.randn(30, 6), torch.randn(30, 2)
    F.mse_loss(model(X), y).backward()
    amounts = {"0": 0.01, "2": 0.02, "3": 0.02}
    expected = {}
    for name, amount in amounts.items():
        W = model[int(name)].weight.detach().numpy()
        g = model[int(name)].weight.grad.numpy()
        violation = np.where(
            W != 0, np.abs(g + amount * np.sign(W)), np.maximum(abs(g) - amount, 0)
        )
        expected[f"{name}.weight"] = violation.max(), violation.mean(), amount
    model.zero_grad()
    loader = [{"rows": X[:11], "y": y[:11]}, {"rows": X[11:], "y": y[11:]}]
    found = check_l1_optimality(
        model,
        None,
        loader,
        l1=amounts,
        step=lambda module, batch: F.mse_loss(module(batch["rows"]), batch["y"]),
    )
    assert list(found) == list(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-5)
    some = check_l1_optimality(model, F.mse_loss, [(X, y)], l1=0.02, layers=["2"])
    assert list(some) == ["2.weight"]
    np.testing.assert_allclose(some["2.weight"], found["2.weight"], rtol=1e-5)


def test_layer_without_influence():
    """Its gradient is zero."""
    model = nn.ModuleDict({"used": nn.Linear(3, 2), "spare": nn.Linear(3, 2)})
    found = check_l1_optimality(
        model,
        None,
        [torch.randn(5, 3)],
        l1=0.1,
        step=lambda module, batch: module["used"](batch).square().mean(),
    )
    np.testing.assert_allclose(found["spare.weight"], (0.1, 0.1, 0.1), rtol=1e-6)


@pytest.mark.parametrize(
    ("l1", "layers", "kind", "message"),
    [
        (-1.0, None, ValueError, "l1 must not be negative, got -1.0"),
        ("much", None, TypeError, "l1 must be a number, got 'much'"),
        ({"x": 1.0}, None, ValueError, "l1 must have names of modules, got 'x'"),
        ({"": 1.0}, [""], ValueError, "layers must be None if l1 has names"),
        (1.0, ["x"], ValueError, "layers must have names of modules, got 'x'"),
    ],
)
def test_refusals(l1, layers, kind, message):
    model, loader = make_lasso(1.0)
    with pytest.raises(kind, match=message):
        check_l1_optimality(model, F.mse_loss, loader, l1=l1, layers=layers)
