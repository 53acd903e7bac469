"""Estimators in files: what comes back, and what is not written."""

import copy
import inspect
import os
import pickle
import sys
from pathlib import Path

import cloudpickle
import joblib
import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal, assert_equal
from persistence_helpers import CASES, LABELS, QUICK, X, through_file
from sklearn.base import BaseEstimator, clone
from sklearn.callback import ProgressBar
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import skproj
from skproj import (
    GroupSparseNMF,
    ProjectionFeatureSelector,
    SparseMLPClassifier,
    SparseSupervisedAutoencoder,
)
from skproj.nn import SparsificationSchedule
from skproj.nn._training._network import SparseLinear
from skproj.persistence import dump, load
from skproj.persistence._estimators import TRUSTED


def through_pickle(estimator, tmp_path):
    return pickle.loads(pickle.dumps(estimator))


def through_cloudpickle(estimator, tmp_path):
    return pickle.loads(cloudpickle.dumps(estimator))


def through_joblib(estimator, tmp_path):
    path = tmp_path / f"{id(estimator)}.joblib"  # the arrays stay in the file
    joblib.dump(estimator, path)
    return joblib.load(path, mmap_mode="r")


def through_deepcopy(estimator, tmp_path):
    return copy.deepcopy(estimator)


ROUTES = [
    through_file,
    through_pickle,
    through_cloudpickle,
    through_joblib,
    through_deepcopy,
]


def layout(module):
    return [
        (name, tensor.stride(), tensor.requires_grad)
        for name, tensor in module.named_parameters()
    ]


def assert_same_fit(one, two):
    """Compare all fitted attributes, exactly."""
    assert type(one) is type(two)
    assert vars(one).keys() == vars(two).keys()
    for name, value in vars(one).items():
        other = vars(two)[name]
        if name in ("module_", "_smaller_"):
            assert str(value) == str(other)
            assert layout(value) == layout(other)
            assert_equal(arrays_of(value), arrays_of(other))
        elif isinstance(value, BaseEstimator):
            assert_same_fit(value, other)
        elif name in ("steps", "estimators_", "named_estimators_"):
            assert type(value) is type(other)
            for part, other_part in zip(parts(value), parts(other), strict=True):
                assert_same_fit(part, other_part)
        elif name.endswith("_") and name != "_stream_":
            assert_equal(other, value)
            assert isinstance(other, np.ndarray) or type(other) is type(value)


def leaves(value):
    """List what is in nested containers."""
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list | tuple):
        return [leaf for item in value for leaf in leaves(item)]
    return [value]


def parts(value):
    """List the estimators in nested containers."""
    return [leaf for leaf in leaves(value) if isinstance(leaf, BaseEstimator)]


def arrays_of(module):
    arrays = {name: W.detach().numpy() for name, W in module.state_dict().items()}
    for name, layer in module.named_modules():
        if isinstance(layer, SparseLinear):
            arrays[name] = layer.matrix.toarray()
    return arrays


def outputs(model):
    """Return what the methods of a model return for data that are not those of fit."""
    results = {
        method: getattr(model, method)(X.abs() * 1.1)
        for method in ("predict", "predict_proba", "decision_function", "transform")
        if hasattr(model, method)
    }
    if hasattr(model, "get_support"):
        results["get_support"] = model.get_support()
        results["get_feature_names_out"] = model.get_feature_names_out().astype(str)
    return results


def plain_params(estimator):
    return {
        name: value
        for name, value in estimator.get_params().items()
        if not parts(value)
    }


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("case", CASES)
def test_every_estimator_comes_back_the_same(case, route, fitted, tmp_path):
    model = fitted(case)
    loaded = route(model, tmp_path)
    assert_same_fit(model, loaded)
    assert_equal(plain_params(loaded), plain_params(model))
    assert_equal(outputs(loaded), outputs(model))
    if hasattr(model, "classes_"):
        assert_array_equal(loaded.classes_, ["ill", "unknown", "well"])
    assert_equal(list(loaded.feature_names_in_), list(X.columns))


def test_a_network_with_sparse_layers_is_among_the_cases(fitted):
    assert any(isinstance(layer, SparseLinear) for layer in fitted("mlp")._smaller_)
    assert fitted("mlp").n_iter_ > 0


def test_every_public_estimator_is_trusted_and_tested():
    public = {
        f"{obj.__module__}.{obj.__name__}"
        for package in skproj._SUBPACKAGES
        for obj in vars(getattr(skproj, package)).values()
        if inspect.isclass(obj) and issubclass(obj, BaseEstimator)
    }
    ours = {name for name in TRUSTED if name.startswith("skproj.")}
    assert public == {name for name in ours if not name.endswith("EtaPath")}
    tested = {f"{type(m).__module__}.{type(m).__name__}" for m, _ in CASES.values()}
    # The schedule is a parameter of others.
    assert public - {"skproj.nn._schedule.SparsificationSchedule"} <= tested


SAVED = sorted(Path(__file__).parent.glob("saved/*/*.skops"))


@pytest.mark.parametrize(
    "path", SAVED, ids=[f"{p.parent.name} {p.stem}" for p in SAVED]
)
def test_files_of_older_versions_load(path):
    """See `write_saved_models` for what they should return."""
    loaded = load(path)
    expected = np.load(path.with_name("outputs.npz"))
    for method, values in outputs(loaded).items():
        before = expected[f"{path.stem}/{method}"]
        if before.dtype.kind == "f":
            np.testing.assert_allclose(values, before, rtol=1e-6, atol=1e-9)
        else:
            assert_array_equal(values, before)
    if path.stem.endswith("partial_fit"):
        assert loaded.partial_fit(X.abs(), LABELS).n_iter_ == 2


def test_a_part_of_a_mean_is_one_object(fitted, tmp_path):
    """By its place and by its name."""
    loaded = through_file(fitted("mean of classifiers"), tmp_path)
    for part, (name, _) in zip(loaded.estimators_, loaded.estimators, strict=True):
        assert loaded.named_estimators_[name] is part


def test_float32_stays(tmp_path):
    model = SparseSupervisedAutoencoder(eta=10.0, **QUICK).fit(
        X.astype(np.float32), LABELS
    )
    loaded = through_file(model, tmp_path)
    assert_same_fit(model, loaded)
    assert loaded.encoder_weights_.dtype == np.float32


def test_compact_and_unfitted_models_are_saved_as_well(fitted, tmp_path):
    compact = fitted("autoencoder of a number").compact()
    assert_same_fit(compact, through_file(compact, tmp_path))
    unfitted = SparseMLPClassifier((7,), random_state=np.random.RandomState(3))
    loaded = through_file(unfitted, tmp_path)
    assert vars(loaded).keys() == vars(unfitted).keys()
    assert loaded.random_state.randint(10**9) == unfitted.random_state.randint(10**9)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("name", ["autoencoder", "adam", "sgd"])
def test_partial_fit_goes_on_as_if_nothing_had_happened(name, route, tmp_path):
    """The network of all features, moments and random numbers are saved too."""
    if name == "autoencoder":
        schedule = SparsificationSchedule(input_noise=0.5)
        model = SparseSupervisedAutoencoder(eta=1.0, schedule=schedule, random_state=0)
    else:
        model = SparseMLPClassifier(alpha=1e-3, solver=name, random_state=0)
    for part in (slice(0, 40), slice(40, 80)):
        model.partial_fit(X[part], LABELS[part], classes=np.unique(LABELS))
    loaded = route(route(model, tmp_path), tmp_path)
    assert_same_fit(loaded, model)
    for part in (slice(10, 50), slice(30, 80)):
        model.partial_fit(X[part], LABELS[part])
        loaded.partial_fit(X[part], LABELS[part])
        assert_same_fit(loaded, model)


def test_warm_start_goes_on_as_if_nothing_had_happened(fitted, tmp_path):
    model = copy.deepcopy(fitted("mlp")).set_params(warm_start=True)
    loaded = through_file(model, tmp_path)
    y = CASES["mlp"][1]
    assert_same_fit(loaded.fit(X, y), model.fit(X, y))


def test_saving_leaves_the_estimator_alone():
    model = SparseSupervisedAutoencoder(random_state=0)
    model.partial_fit(X, LABELS, classes=np.unique(LABELS))
    before = dict(vars(model))
    pickle.dumps(model)
    assert vars(model) == before


def test_a_missing_device_costs_only_the_memory_of_partial_fit():
    """A model fitted on a GPU opens without one, and learns from what was fitted."""
    model = SparseSupervisedAutoencoder(random_state=0)
    model.partial_fit(X, LABELS, classes=np.unique(LABELS))
    state = copy.deepcopy(model.__getstate__())
    state["_stream_"]["device"] = "cuda:99"
    loaded = object.__new__(type(model))
    loaded.__setstate__(state)
    assert not hasattr(loaded, "_stream_")
    assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    loaded.partial_fit(X, LABELS)


@pytest.mark.parametrize("name", ["autoencoder", "mlp"])
def test_state_of_a_network_is_arrays_and_plain_values(name):
    model = SparseSupervisedAutoencoder(random_state=0)
    if name == "mlp":
        model = SparseMLPClassifier(alpha=0.1, random_state=0)
    model.partial_fit(X, LABELS, classes=np.unique(LABELS))
    plain = str, int, float, type(None), np.ndarray, np.generic
    foreign = [x for x in leaves(model.__getstate__()) if not isinstance(x, plain)]
    assert foreign == []


# ---------------------------------------------------------------------------
# What cannot be saved


def my_projection(W, radius, axis=1):
    return W


@pytest.mark.parametrize(
    ("estimator", "reason"),
    [
        (
            ProjectionFeatureSelector(projection=my_projection),
            r"holds, .*my_projection",
        ),
        (SparseSupervisedAutoencoder(projection=lambda W, r, axis: W), "lambda"),
        (GroupSparseNMF().set_callbacks(ProgressBar()), "ProgressBar"),
        (make_pipeline(StandardScaler(), SVC(kernel=np.dot)), "dot"),
        (SparseMLPClassifier(device=torch.device("cpu")), r"torch.device"),
        (SparseMLPClassifier(class_weight={True: 1.0, False: 2.0}), "True and False"),
        (SparseMLPClassifier(class_weight={("a", "b"): 1.0}), "cannot be saved"),
        (ProjectionFeatureSelector(torch.nn.Linear(1, 1)), "cannot be saved"),
    ],
)
def test_what_could_not_be_read_is_not_written(estimator, reason, tmp_path):
    path = tmp_path / "model.skops"
    path.write_text("what was there")
    with pytest.raises(ValueError, match=reason):
        dump(estimator, path)
    assert path.read_text() == "what was there"
    assert list(tmp_path.iterdir()) == [path]


def test_trees_and_searches_say_what_to_do(tmp_path):
    path = tmp_path / "model.skops"
    forest = RandomForestClassifier(2, random_state=0).fit(X, LABELS)
    with pytest.raises(ValueError, match=r"holds, .*Tree: only .* \(without trees\)"):
        dump(forest, path)
    search = GridSearchCV(ProjectionFeatureSelector(), {"eta": [0.5]}, cv=2)
    search = GridSearchCV(make_pipeline(search.estimator, SVC()), {"svc__C": [1.0]})
    search.fit(X, LABELS)
    with pytest.raises(ValueError, match=r"Scorer.*: save its best_estimator_"):
        dump(search, path)
    assert_same_fit(
        search.best_estimator_, through_file(search.best_estimator_, tmp_path)
    )


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "model.skops"
    dump(GroupSparseNMF(3), path)

    def fail(*_):
        raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        with pytest.raises(OSError, match="full"):
            dump(GroupSparseNMF(4), path)
    assert list(tmp_path.iterdir()) == [path]
    assert load(path).n_components == 3
    dump(GroupSparseNMF(4), str(path))
    assert load(str(path)).n_components == 4


def test_permissions_are_those_of_other_new_files(tmp_path):
    dump(GroupSparseNMF(), tmp_path / "model.skops")
    (tmp_path / "other").touch()
    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 1


def test_missing_libraries_are_named(tmp_path, monkeypatch):
    for library in ("skops", "skops.io"):
        monkeypatch.setitem(sys.modules, library, None)
    message = r'pip install "skproj\[persistence\]"'
    path = tmp_path / "model"
    with pytest.raises(ImportError, match=message):
        dump(GroupSparseNMF(), path)
    with pytest.raises(ImportError, match=message):
        load(path)


def write_saved_models():
    """Save the models that later versions have to load, and what they return.

    Run this file as a script to write those of a new version. Files that an older
    version wrote stay as they are.
    """
    folder = Path(__file__).parent / "saved" / skproj.__version__
    folder.mkdir(parents=True)
    models = {name: clone(model).fit(X.abs(), y) for name, (model, y) in CASES.items()}
    for name, model in {
        "autoencoder partial_fit": SparseSupervisedAutoencoder(eta=10.0, **QUICK),
        "mlp partial_fit": SparseMLPClassifier(alpha=1e-3, **QUICK),
    }.items():
        models[name] = model.partial_fit(X.abs(), LABELS, classes=np.unique(LABELS))
    results = {}
    for name, model in models.items():
        dump(model, folder / f"{name}.skops")
        for method, values in outputs(model).items():
            results[f"{name}/{method}"] = values
    np.savez_compressed(folder / "outputs.npz", **results)


if __name__ == "__main__":
    write_saved_models()
