"""Saved estimators come back the same to the bit, and files cannot run code."""

import contextlib
import copy
import inspect
import io
import json
import os
import pickle
import re
import struct
import subprocess
import sys
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import cloudpickle
import joblib
import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import skops.io
import torch
from numpy.testing import assert_array_equal, assert_equal
from numpydoc.docscrape import NumpyDocString
from scipy import sparse
from sklearn.base import BaseEstimator, clone
from sklearn.callback import ProgressBar
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch.nn.utils import prune as torch_prune

import skproj
from skproj import (
    GroupSparseNMF,
    ProjectionFeatureSelector,
    ProjectionFeatureSelectorCV,
    SparseMLPClassifier,
    SparseMLPRegressor,
    SparseSupervisedAutoencoder,
    SparseSupervisedAutoencoderCV,
    SparseSupervisedAutoencoderRegressor,
)
from skproj.feature_selection import StabilitySelector
from skproj.nn import prune
from skproj.nn._training import _network
from skproj.nn._training._network import SparseLinear
from skproj.persistence import _estimators, dump, export_weights, load, load_weights
from skproj.persistence._estimators import TRUSTED
from skproj.utils._state import VERSION, VersionedState

QUICK = {"max_epochs": 3, "random_state": 0}


def make_data():
    X, labels = make_classification(
        n_samples=80, n_features=12, n_informative=4, n_classes=3, random_state=0
    )
    X = pd.DataFrame(X, columns=[f"gene {i}" for i in range(X.shape[1])])
    values = np.c_[X.to_numpy() @ np.arange(12.0), X["gene 1"]]
    return X, np.array(["ill", "well", "unknown"])[labels], values


X, LABELS, VALUES = make_data()
CASES = {
    "selector": (ProjectionFeatureSelector(eta=0.5), LABELS),
    "selector of a number": (ProjectionFeatureSelector(n_features_to_select=3), VALUES),
    "selector of a model": (ProjectionFeatureSelector(LogisticRegression()), LABELS),
    "selector cv": (ProjectionFeatureSelectorCV(4, cv=2), LABELS),
    "stability": (StabilitySelector(n_pairs=3, random_state=0), LABELS),
    "nmf": (GroupSparseNMF(2, max_iter=20, tol=1e-2, random_state=0), None),
    "autoencoder": (SparseSupervisedAutoencoder(**QUICK), LABELS),
    "autoencoder of a number": (
        SparseSupervisedAutoencoder(
            (6, 5), n_features_to_select=3, reconstruction_weight=1.0, **QUICK
        ),
        LABELS,
    ),
    "autoencoder cv": (SparseSupervisedAutoencoderCV(cv=2, **QUICK), LABELS),
    "autoencoder regressor": (SparseSupervisedAutoencoderRegressor(**QUICK), VALUES),
    "mlp": (
        SparseMLPClassifier((30, 40), alpha=0.003, max_epochs=10, random_state=0),
        LABELS,
    ),
    "mlp by groups": (
        SparseMLPClassifier(
            alpha=1e-3, penalty="l12", class_weight="balanced", **QUICK
        ),
        LABELS,
    ),
    "mlp regressor": (
        SparseMLPRegressor(alpha=[1e-3, np.inf], loss="huber", **QUICK),
        VALUES,
    ),
    "pipeline": (
        make_pipeline(StandardScaler(), ProjectionFeatureSelector(eta=0.5), SVC()),
        LABELS,
    ),
    "pipeline of a network": (
        make_pipeline(StandardScaler(), SparseSupervisedAutoencoder(**QUICK)),
        LABELS,
    ),
}


@pytest.fixture(scope="module")
def fitted():
    """Return a function that fits a case once."""
    models = {}

    def fit(case):
        if case not in models:
            model, y = CASES[case]
            with pytest.MonkeyPatch.context() as patch:
                # Small networks get sparse layers as large ones do.
                patch.setattr(_network, "SPARSE_DENSITY", 0.9)
                models[case] = clone(model).fit(X.abs(), y)
        return models[case]

    return fit


def through_file(estimator, tmp_path):
    path = tmp_path / "model.skops"
    dump(estimator, path)
    return load(path)


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
        elif name == "steps":
            for (_, step), (_, other_step) in zip(value, other, strict=True):
                assert_same_fit(step, other_step)
        elif name.endswith("_") and name != "_stream_":
            assert_equal(other, value)
            assert isinstance(other, np.ndarray) or type(other) is type(value)


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
        if name != "steps" and not isinstance(value, BaseEstimator)
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
    assert public <= tested


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


def test_float32_stays(tmp_path):
    model = SparseSupervisedAutoencoder(**QUICK).fit(X.astype(np.float32), LABELS)
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
        model = SparseSupervisedAutoencoder(eta=1.0, input_noise=0.5, random_state=0)
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
    for case in ("autoencoder", "mlp"):
        model = copy.deepcopy(fitted(case)).set_params(warm_start=True)
        loaded = through_file(model, tmp_path)
        y = CASES[case][1]
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


def leaves(value):
    """List what is in nested containers."""
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list | tuple):
        return [leaf for item in value for leaf in leaves(item)]
    return [value]


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
# Files that are not what they seem


def edit(path, change):
    """Rewrite a file of skops with another schema."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(members["schema.json"])
    change(schema)
    members["schema.json"] = json.dumps(schema).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


TEXT = {
    "__class__": "str",
    "__module__": "builtins",
    "__loader__": "JsonNode",
    "content": '"x"',
    "__id__": -1,
}


def node(loader, module, name, **more):
    return {
        "__class__": name,
        "__module__": module,
        "__loader__": loader,
        "__id__": -2,
        **more,
    }


ARGUMENTS = node("TupleNode", "builtins", "tuple", content=[TEXT])
EVIL = {
    "function": node("FunctionNode", "evil", "run"),
    "type": node("TypeNode", "evil", "Run"),
    "object": node("ObjectNode", "evil", "Run"),
    "constructor": node("ConstructorFromReduceNode", "evil", "Run", content=ARGUMENTS),
    "command": node(
        "ConstructorFromReduceNode", "subprocess", "Popen", content=ARGUMENTS
    ),
    "partial": node(
        "PartialNode",
        "functools",
        "partial",
        content={
            "func": node("FunctionNode", "evil", "run"),
            "args": ARGUMENTS,
            "kwds": TEXT,
            "namespace": TEXT,
        },
    ),
    "method": node(
        "MethodNode",
        "evil",
        "Run",
        content={"func": "run", "obj": node("ObjectNode", "evil", "Run")},
    ),
    "operator": node("OperatorFuncNode", "operator", "methodcaller", attrs=ARGUMENTS),
    "private class of skproj": node(
        "ObjectNode", "skproj.nn._base_network", "PartialFitState"
    ),
    "function of skproj": node("FunctionNode", "skproj.persistence", "dump"),
}


@pytest.mark.parametrize("kind", EVIL)
def test_types_that_are_not_trusted_are_not_made(kind, tmp_path, monkeypatch):
    """No module is imported, and nothing of it called."""
    (tmp_path / "evil.py").write_text("raise SystemError('the code was run')")
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "evil.skops"
    dump(ProjectionFeatureSelector(), path)
    edit(path, lambda s: s["content"]["content"].update(projection=EVIL[kind]))
    with pytest.raises(ValueError, match=r"evil.skops is not loaded.*holds.*trusted"):
        load(path)
    assert "evil" not in sys.modules


def test_a_type_in_the_place_of_the_estimator_is_not_made(tmp_path):
    path = tmp_path / "evil.skops"
    dump(ProjectionFeatureSelector(), path)
    edit(path, lambda s: s.update(__module__="subprocess", __class__="Popen"))
    with pytest.raises(ValueError, match=r"evil.skops is not loaded.*subprocess.Popen"):
        load(path)


class Payload:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_pickle_is_not_opened(tmp_path):
    path = tmp_path / "model.skops"
    path.write_bytes(pickle.dumps(Payload(tmp_path / "made")))
    with pytest.raises(ValueError, match=r"model.skops is not a file of skops"):
        load(path)
    assert not (tmp_path / "made").exists()


def test_a_pickle_in_the_place_of_an_array_is_not_opened(fitted, tmp_path):
    path = tmp_path / "model.skops"
    dump(fitted("selector"), path)
    content = io.BytesIO()
    np.save(content, np.array([Payload(tmp_path / "made")]), allow_pickle=True)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, before in members.items():
            is_array = name.endswith(".npy")
            archive.writestr(name, content.getvalue() if is_array else before)
    with pytest.raises(ValueError, match=r"model.skops cannot be loaded"):
        load(path)
    assert not (tmp_path / "made").exists()


def archive_of(**members):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in members.items():
            archive.writestr(name.replace("_", "."), text)
    return content.getvalue()


DAMAGED = {
    "empty": b"",
    "text": b"not a model",
    "cut": lambda whole: whole[: len(whole) // 2],
    "changed": lambda whole: whole[:60] + b"\x00" * 80 + whole[140:],
    "empty archive": archive_of(),
    "other archive": archive_of(readme_txt="hello"),
    "no json": archive_of(schema_json="{"),
    "other json": archive_of(schema_json="[1, 2]"),
    "no nodes": archive_of(schema_json='{"protocol": 1}'),
    "deep": archive_of(schema_json="[" * 100_000),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_nonsense_is_refused_with_the_path(kind, fitted, tmp_path):
    path = tmp_path / "model.skops"
    content = DAMAGED[kind]
    if callable(content):
        dump(fitted("selector"), path)
        content = content(path.read_bytes())
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"model.skops (cannot be|is not)"):
        load(path)


def test_what_is_no_estimator_is_refused(tmp_path):
    path = tmp_path / "list.skops"
    skops.io.dump([1, 2], path)
    with pytest.raises(ValueError, match=r"list.skops holds must be an estimator"):
        load(path)
    with pytest.raises(ValueError, match=r"estimator must be an estimator.*list"):
        dump([1, 2], path)


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none.skops"):
        load(tmp_path / "none.skops")
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere"):
        dump(GroupSparseNMF(), tmp_path / "nowhere" / "model.skops")
    with pytest.raises(IsADirectoryError):
        load(tmp_path)


def test_wrong_indices_of_a_sparse_layer_are_refused(fitted):
    """A product with them would read memory that is not the matrix."""
    state = copy.deepcopy(fitted("mlp").__getstate__())
    layer = next(layer for layer in state["_smaller_"] if "nonzero" in layer)
    _, indices, _ = layer["nonzero"]
    indices[:] = 10**6
    with pytest.raises(ValueError, match="indices"):
        object.__new__(SparseMLPClassifier).__setstate__(state)


def test_wrong_indices_of_support_vectors_are_refused(tmp_path):
    """A prediction with them ends the process."""
    path = tmp_path / "model.skops"
    features = sparse.csr_matrix(X)
    model = make_pipeline(SVC().fit(features, LABELS))
    dump(model, path)
    assert_array_equal(load(path).predict(features), model.predict(features))
    vectors = model[-1].support_vectors_
    for indices in (vectors.indptr[1:-1], vectors.indices):
        right = indices.copy()
        indices[:] = 2**30
        dump(model, path)
        indices[:] = right
        with pytest.raises(ValueError, match=r"model.skops cannot be loaded: .*ind"):
            load(path)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_wrong_memory_of_a_solver_is_refused(solver):
    """A step would read beyond its end."""
    model = SparseMLPClassifier(alpha=1e-3, solver=solver, random_state=0)
    model.partial_fit(X, LABELS, classes=np.unique(LABELS))
    state = copy.deepcopy(model.__getstate__())
    optimizer = state["_stream_"]["optimizer"]
    if solver == "adam":
        first, _, steps = optimizer["_moments"][0]
        optimizer["_moments"][0] = first, first[:1], steps
    else:
        optimizer["_means"][0] = optimizer["_means"][0][:1]
    with pytest.raises(ValueError, match="memory of the solver"):
        object.__new__(SparseMLPClassifier).__setstate__(state)


# ---------------------------------------------------------------------------
# Attributes


def documented_attributes(kind):
    return {
        name
        for row in NumpyDocString(inspect.cleandoc(kind.__doc__))["Attributes"]
        for name in row.name.split(", ")
        if not isinstance(inspect.getattr_static(kind, name, None), property)
    }


@pytest.mark.parametrize(
    "kind",
    sorted({type(model) for model, _ in CASES.values()} - {Pipeline}, key=str),
)
def test_fitted_attributes_are_the_documented_ones(kind):
    names = {"n_features_in_", "feature_names_in_", *kind._optional_attributes}
    names = names.union(*kind._fitted_attributes)
    assert {name for name in names if name[0] != "_"} == documented_attributes(kind)


def attributes_of(schema):
    return schema["content"]["content"]


@pytest.mark.parametrize("case", sorted(set(CASES) - {"pipeline of a network"}))
def test_missing_attributes_are_refused_by_name(case, fitted, tmp_path):
    """Fitted ones, and parameters; `classes_` of a linear model is not always there."""
    path = tmp_path / "model.skops"
    model = fitted(case)[-1] if case == "pipeline" else fitted(case)
    optional = {"feature_names_in_", *getattr(model, "_optional_attributes", ())}
    for name in vars(model).keys() - optional:
        if case == "pipeline" or name.startswith("__"):
            continue
        dump(model, path)
        edit(path, lambda s, name=name: attributes_of(s).pop(name))
        message = rf"model.skops cannot be loaded: its {type(model).__name__} lacks "
        with pytest.raises(ValueError, match=rf"{message}'{name}'$"):
            load(path)


def test_unknown_and_renamed_attributes_are_refused_by_name(fitted, tmp_path):
    path = tmp_path / "model.skops"
    dump(make_pipeline(StandardScaler(), fitted("selector")), path)

    def rename(schema):
        steps = attributes_of(schema)["steps"]["content"]
        state = steps[1]["content"][1]["content"]["content"]
        state["weights_"] = state.pop("scores_")

    edit(path, rename)
    message = "lacks 'scores_' and has the unknown 'weights_'"
    with pytest.raises(ValueError, match=f"its ProjectionFeatureSelector {message}$"):
        load(path)


def test_unknown_attributes_are_not_saved(fitted, tmp_path):
    """Names without an underscore at the end are not those of a fit."""
    model = copy.deepcopy(fitted("nmf"))
    model.origin = "laboratory"
    assert through_file(model, tmp_path).origin == "laboratory"
    model.origin_ = "laboratory"
    with pytest.raises(ValueError, match=r"cannot be saved: .*unknown 'origin_'"):
        dump(model, tmp_path / "new.skops")
    assert copy.deepcopy(model).origin_ == "laboratory"


# ---------------------------------------------------------------------------
# Files that unpack to more than they seem to


def members_of(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewrite(path, change, **options):
    """Change the members of an archive, a dict of names and bytes."""
    members = members_of(path)
    change(members)
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def of_zeros(size):
    content = io.BytesIO()
    np.save(content, np.zeros(size, dtype=np.uint8))
    return content.getvalue()


def array_of(schema):
    return attributes_of(schema)["components_"]


@pytest.fixture
def model_path(fitted, tmp_path):
    path = tmp_path / "model.skops"
    dump(fitted("nmf"), path)
    return path


def test_a_member_that_is_too_large_is_refused(model_path):
    rewrite(
        model_path,
        lambda members: members.update(more=bytes(2**20)),
        compression=zipfile.ZIP_DEFLATED,
    )
    assert model_path.stat().st_size < 2**16
    message = "model.skops cannot be loaded: it unpacks to more than max_size=1048576 "
    with pytest.raises(ValueError, match=message):
        load(model_path, max_size=2**20)
    assert isinstance(load(model_path, max_size=2**21), GroupSparseNMF)


@pytest.mark.parametrize("name", ["more", "schema.json"])
def test_a_bomb_is_refused_before_it_is_unpacked(name, model_path):
    """By default, from what the directory says."""
    rewrite(
        model_path,
        lambda members: members.update({name: members.get(name, b"") + bytes(1000)}),
    )
    data = bytearray(model_path.read_bytes())
    entry = data.rindex(name.encode()) - 46  # in the directory
    assert data[entry : entry + 4] == b"PK\x01\x02"
    size = 2**30 + 1 if name == "more" else 2**26 + 1
    data[entry + 24 : entry + 28] = struct.pack("<I", size)
    model_path.write_bytes(data)
    with pytest.raises(ValueError, match="unpacks to more than max_size="):
        load(model_path)


def understate(data, name, shown):
    """Let an archive say that a member ends where `shown` does."""
    data, name = bytearray(data), name.encode()
    for checksum in (data.index(name) - 30 + 14, data.rindex(name) - 46 + 16):
        data[checksum : checksum + 4] = struct.pack("<I", zlib.crc32(shown))
        data[checksum + 8 : checksum + 12] = struct.pack("<I", len(shown))
    return bytes(data)


@contextlib.contextmanager
def little_memory():
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


def test_no_more_is_unpacked_than_the_directory_says(model_path):
    """Even if there is more, and the checksum is that of the beginning."""
    name = array_of(json.loads(members_of(model_path)["schema.json"]))["file"]
    shown = of_zeros(100)
    rewrite(
        model_path,
        lambda members: members.update({name: shown + bytes(2**26)}),
        compression=zipfile.ZIP_DEFLATED,
    )
    model_path.write_bytes(understate(model_path.read_bytes(), name, shown))
    with little_memory():
        assert_array_equal(load(model_path).components_, np.zeros(100))


def test_no_more_is_unpacked_of_an_archive_in_the_archive(tmp_path):
    """Sparse matrices are such; what is no array in them is read at once."""
    path, inner = tmp_path / "model.skops", tmp_path / "inner.npz"
    dump(make_pipeline(SVC().fit(sparse.csr_matrix(X), LABELS)), path)
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("format", bytes(2**26))
    content = understate(inner.read_bytes(), "format", b"\0")
    names = [name for name in members_of(path) if name.endswith(".npz")]
    assert names
    rewrite(path, lambda members: members.update(dict.fromkeys(names, content)))
    with little_memory(), pytest.raises(ValueError, match="cannot be loaded"):
        load(path)


def test_an_array_that_is_read_many_times_is_counted_so(model_path):
    def repeat(schema):
        node = array_of(schema)
        copies = [{**node, "__id__": -j} for j in range(1, 101)]
        attributes_of(schema)["loss_curve_"]["content"] += copies

    edit(model_path, repeat)
    name = array_of(json.loads(members_of(model_path)["schema.json"]))["file"]
    rewrite(model_path, lambda members: members.update({name: of_zeros(2**20)}))
    size = 100 * 2**20
    with pytest.raises(ValueError, match="unpacks to more than max_size="):
        load(model_path, max_size=size)
    assert len(load(model_path, max_size=2 * size).loss_curve_) > 100


def test_a_sparse_matrix_is_counted_as_what_it_unpacks_to(tmp_path):
    """It is an archive within the archive."""
    path = tmp_path / "model.skops"
    features = sparse.csr_matrix(X)
    model = make_pipeline(SVC().fit(features, LABELS))
    zeros = np.zeros(2**22)
    vectors = model[-1].support_vectors_
    vectors.data = np.concatenate([vectors.data, zeros])
    dump(model, path)
    assert path.stat().st_size < 2**17
    with pytest.raises(ValueError, match="unpacks to more than max_size="):
        load(path, max_size=2**20)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_are_refused(method, model_path):
    """They are not unpacked in pieces of a size that is known."""
    rewrite(model_path, lambda members: None, compression=method)
    with pytest.raises(ValueError, match="is not compressed with deflate"):
        load(model_path)


# ---------------------------------------------------------------------------
# Versions


@pytest.mark.parametrize("case", ["selector", "nmf", "mlp"])
def test_a_newer_state_is_refused(case, fitted, tmp_path, monkeypatch):
    path = tmp_path / "new.skops"
    with monkeypatch.context() as newer:
        newer.setattr(VersionedState, "_state_migrations", (dict,))
        dump(fitted(case), path)
        pickled = pickle.dumps(fitted(case))
    message = "saved by a newer version of skproj .*version 2, 1 is known.*update"
    with pytest.raises(ValueError, match=rf"new.skops cannot be loaded.*{message}"):
        load(path)
    with pytest.raises(ValueError, match=message):
        pickle.loads(pickled)


def test_files_say_which_version_wrote_them(tmp_path, monkeypatch):
    path = tmp_path / "new.skops"
    dump(make_pipeline(StandardScaler()), path)
    assert _estimators.written_by(path) == f"skproj {skproj.__version__}"
    with monkeypatch.context() as newer:
        newer.setattr(_estimators, "WRITER", "skproj 0.0.1")
        newer.setattr(VersionedState, "_state_migrations", (dict,))
        dump(GroupSparseNMF(), path)
    with pytest.raises(
        ValueError, match=r"newer .* \(it was written by skproj 0.0.1, "
    ):
        load(path)


def test_files_of_a_newer_version_are_refused(tmp_path, monkeypatch):
    """Even if everything in them looks familiar."""
    path = tmp_path / "new.skops"
    with monkeypatch.context() as newer:
        newer.setattr(_estimators, "WRITER", "skproj 99.0")
        dump(GroupSparseNMF(), path)
    ours = re.escape(f"skproj {skproj.__version__}")
    with pytest.raises(ValueError, match=rf"by skproj 99\.0, newer than this {ours}: "):
        load(path)


@pytest.mark.parametrize(
    "comment",
    [b"", b"other", b"skproj \x1b[2J", b"skproj \xff\xfe", b"skproj next", b"skops 99"],
)
def test_other_files_do_not_say_who_wrote_them(comment, tmp_path):
    path = tmp_path / "other.skops"
    skops.io.dump(GroupSparseNMF(), path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = comment
    assert _estimators.written_by(path) is None
    assert isinstance(load(path), GroupSparseNMF)


def test_every_damage_is_explained(fitted, tmp_path):
    """Some errors of the libraries have no text."""
    path = tmp_path / "model.skops"
    dump(fitted("selector"), path)
    for error in (EOFError(), KeyError("x")):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_estimators, "_untrusted_types", raising(error))
            with pytest.raises(ValueError, match=r"cannot be loaded: (EOFError|'x')$"):
                load(path)


def raising(error):
    def fail(*arguments):
        raise error

    return fail


def test_a_newer_format_of_skops_is_refused(tmp_path):
    path = tmp_path / "new.skops"
    dump(GroupSparseNMF(), path)
    edit(path, lambda s: s.update(protocol=99))
    with pytest.raises(ValueError, match=r"new.skops cannot be loaded.*protocol 99"):
        load(path)


def test_older_states_go_through_all_later_changes(fitted, tmp_path, monkeypatch):
    path = tmp_path / "old.skops"
    dump(fitted("nmf"), path)

    def rename(state):
        state["parts_"] = state.pop("components_")
        return state

    def count(state):
        return {**state, "n_parts_": len(state["parts_"])}

    (names,) = GroupSparseNMF._fitted_attributes
    names = ("parts_", "n_parts_", *names[1:])
    monkeypatch.setattr(GroupSparseNMF, "_fitted_attributes", (names,))
    monkeypatch.setattr(GroupSparseNMF, "_state_migrations", (rename, count))
    loaded = load(path)
    assert_array_equal(loaded.parts_, fitted("nmf").components_)
    assert loaded.n_parts_ == 2
    assert loaded.__getstate__()[VERSION] == 3
    assert not hasattr(loaded, "components_")


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


def test_import_leaves_out_heavy_libraries():
    code = (
        "import sys, skproj.persistence\n"
        "print({'torch', 'skops', 'safetensors'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


def test_missing_libraries_are_named(tmp_path, monkeypatch):
    for library in ("skops", "skops.io", "safetensors", "safetensors.torch"):
        monkeypatch.setitem(sys.modules, library, None)
    message = r'pip install "skproj\[persistence\]"'
    path = tmp_path / "model"
    with pytest.raises(ImportError, match=message):
        dump(GroupSparseNMF(), path)
    with pytest.raises(ImportError, match=message):
        load(path)
    with pytest.raises(ImportError, match=message):
        export_weights(torch.nn.Linear(1, 1), path)
    with pytest.raises(ImportError, match=message):
        load_weights(torch.nn.Linear(1, 1), path)


# ---------------------------------------------------------------------------
# Weights


def network(dtype=torch.float32):
    return torch.nn.Sequential(
        torch.nn.Linear(40, 30), torch.nn.BatchNorm1d(30), torch.nn.Linear(30, 5)
    ).to(dtype)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.safetensors"


def assert_same_weights(one, two):
    one, two = one.state_dict(), two.state_dict()
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        assert tensor.dtype == two[name].dtype
        assert torch.equal(tensor, two[name]), name


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_weights_come_back_in_their_precision(dtype, path):
    model = network(dtype)
    export_weights(model, path)
    other = network(dtype)
    assert load_weights(other, path) is other
    assert_same_weights(other, model)
    assert safetensors.torch.load_file(path).keys() == model.state_dict().keys()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("is_pruned_before", [False, True])
def test_pruned_weights_stay_pruned_while_training_goes_on(
    dtype, is_pruned_before, path
):
    model = network()
    prune.global_hoyer(prune.prunable_parameters(model), 0.9, target="zeros")
    model.to(dtype)
    export_weights(model, path)
    other = network()
    if is_pruned_before:
        torch_prune.random_unstructured(other[0], "weight", 0.2)
    load_weights(other.to(dtype), path)
    visible = model[0].weight_orig * model[0].weight_mask
    assert torch.equal(other[0].weight, visible)
    assert torch.equal(other[0].weight_mask, model[0].weight_mask)
    assert other[0].weight_mask.dtype == dtype

    zeros = other[0].weight == 0
    assert zeros.float().mean() > 0.8
    optimizer = torch.optim.SGD(other.parameters(), lr=0.1)
    other(torch.randn(8, 40, dtype=dtype)).square().sum().backward()
    optimizer.step()
    torch_prune.remove(other[0], "weight")
    assert not torch.equal(other[0].weight, visible)
    assert (other[0].weight[zeros] == 0).all()


def test_pruned_weights_are_small(path):
    layer = torch.nn.Linear(300, 200)
    torch_prune.l1_unstructured(layer, "weight", 0.9)
    size = len(safetensors.torch.save(layer.state_dict()))
    export_weights(layer, path)
    assert path.stat().st_size < size / 12


def test_shared_and_pruned_modules(path):
    """A layer used twice, and a weight that two layers share, are no obstacle."""

    def build():
        layer, tied = torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)
        tied.weight = layer.weight
        return torch.nn.Sequential(layer, layer, tied)

    model, other = build(), build()
    torch_prune.l1_unstructured(model[0], "weight", 0.5)
    export_weights(model, path)
    load_weights(other, path)
    assert_same_weights(other[0], model[0])
    assert torch.equal(other[0].weight, model[0].weight)


@pytest.mark.parametrize("case", ["autoencoder of a number", "mlp"])
def test_weights_of_an_estimator_say_what_they_are(case, fitted, path):
    model = fitted(case)
    export_weights(model, path)
    with safetensors.safe_open(path, framework="pt") as file:
        described = json.loads(file.metadata()["skproj"])
    assert described["estimator"] == type(model).__name__
    assert described["params"]["random_state"] == 0
    assert described["version"] == 1
    if case == "mlp":
        assert "features" not in described
    else:
        assert described["features"] == model.get_support(indices=True).tolist()
    assert_same_weights(load_weights(copy.deepcopy(model).module_, path), model.module_)


def test_weights_that_do_not_suit_change_nothing(path):
    model = network()
    torch_prune.l1_unstructured(model[0], "weight", 0.5)
    export_weights(model, path)
    for other, reason in (
        (
            torch.nn.Sequential(torch.nn.Linear(40, 30)),
            r"is missing in the network|and miss",
        ),
        (network(torch.float64), r"float32.*float64"),
        (torch.nn.Sequential(torch.nn.Linear(7, 30), *network()[1:]), r"40.*7"),
    ):
        before = copy.deepcopy(other)
        with pytest.raises(
            ValueError, match=rf"net.safetensors does not suit.*({reason})"
        ):
            load_weights(other, path)
        assert_same_weights(other, before)


def test_plain_files_of_safetensors_are_read(path):
    model, other = network(), network()
    safetensors.torch.save_file(model.state_dict(), path)
    assert_same_weights(load_weights(other, path), model)


def test_files_without_weights_are_refused(path, fitted):
    layer = torch.nn.Linear(3, 2)
    with pytest.raises(FileNotFoundError, match=r"net.safetensors"):
        load_weights(layer, path)
    for content in (b"", b"nonsense" * 20, pickle.dumps(layer.state_dict())):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"net.safetensors cannot be loaded"):
            load_weights(layer, path)
    for metadata, reason in (
        ({"version": 2, "pruned": {}}, "newer version of skproj .*version 2, 1 is "),
        ({"version": 1, "pruned": {"weight": [3, 2]}}, "cannot be loaded"),
    ):
        safetensors.torch.save_file(
            layer.state_dict(), path, {"skproj": json.dumps(metadata)}
        )
        with pytest.raises(ValueError, match=rf"net.safetensors .*{reason}"):
            load_weights(layer, path)
    with pytest.raises(ValueError, match="model must be a network"):
        export_weights(fitted("selector"), path)
    with pytest.raises(ValueError, match=r"model must be a torch.nn.Module"):
        load_weights(fitted("autoencoder"), path)
    with pytest.raises(ValueError, match="not fitted"):
        export_weights(SparseMLPClassifier(), path)


def pruned_file(path, shape, values, bits):
    """Write a file of a layer of three inputs and two outputs."""
    tensors = {
        "weight_orig": torch.ones(values),
        "weight_mask": torch.tensor([bits], dtype=torch.uint8),
        "bias": torch.zeros(2),
    }
    metadata = {"version": 1, "pruned": {"weight": shape}}
    safetensors.torch.save_file(tensors, path, {"skproj": json.dumps(metadata)})


def test_a_pruned_weight_is_not_made_larger_than_the_network(path):
    """A file of 300 bytes can name any shape."""
    pruned_file(path, [2**13, 2**13], values=1, bits=0b1000_0000)
    layer = torch.nn.Linear(3, 2)
    with little_memory(), pytest.raises(ValueError, match=r"not suit.*8192, 8192"):
        load_weights(layer, path)


def test_weights_that_do_not_suit_their_mask_are_refused(path):
    layer = torch.nn.Linear(3, 2)
    pruned_file(path, [2, 3], values=2, bits=0b1010_0000)
    assert load_weights(layer, path).weight.tolist() == [[1, 0, 1], [0, 0, 0]]
    for values, bits in ((1, 0b1010_0000), (3, 0b1010_0000)):
        pruned_file(path, [2, 3], values, bits)
        with pytest.raises(ValueError, match="the mask of weight does not suit"):
            load_weights(torch.nn.Linear(3, 2), path)


def write_saved_models():
    """Save the models that later versions have to load, and what they return.

    Run this file as a script to write those of a new version. Files that an older
    version wrote stay as they are.
    """
    folder = Path(__file__).parent / "saved" / skproj.__version__
    folder.mkdir(parents=True)
    models = {name: clone(model).fit(X.abs(), y) for name, (model, y) in CASES.items()}
    for name, model in {
        "autoencoder partial_fit": SparseSupervisedAutoencoder(**QUICK),
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
