"""Files that are damaged or made to do harm."""

import copy
import io
import itertools
import json
import os
import pickle
import struct
import sys
import zipfile
import zlib

import numpy as np
import pytest
import skops.io
from numpy.testing import assert_array_equal
from persistence_helpers import LABELS, X, attributes_of, edit, little_memory
from scipy import sparse
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from skproj import GroupSparseNMF, ProjectionFeatureSelector, SparseMLPClassifier
from skproj.persistence import _estimators, dump, load

TEXT = {
    "__class__": "str",
    "__module__": "builtins",
    "__loader__": "JsonNode",
    "content": '"x"',
    "__id__": -1,
}


NUMBERS = itertools.count(2)


def node(loader, module, name, **more):
    return {
        "__class__": name,
        "__module__": module,
        "__loader__": loader,
        "__id__": -next(NUMBERS),
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
    "function in a dict of scikit-learn": node(
        "DictNode",
        "sklearn.utils._bunch",
        "Bunch",
        key_types=node(
            "ListNode",
            "builtins",
            "list",
            content=[node("TypeNode", "builtins", "str")],
        ),
        content={"run": node("FunctionNode", "evil", "run")},
    ),
    "object of keys of a dict of scikit-learn": node(
        "DictNode",
        "sklearn.utils._bunch",
        "Bunch",
        key_types=node(
            "ListNode", "builtins", "list", content=[node("TypeNode", "evil", "Run")]
        ),
        content={"run": TEXT},
    ),
    "method": node(
        "MethodNode",
        "evil",
        "Run",
        content={"func": "run", "obj": node("ObjectNode", "evil", "Run")},
    ),
    "operator": node("OperatorFuncNode", "operator", "methodcaller", attrs=ARGUMENTS),
    "private class of skproj": node(
        "ObjectNode", "skproj.nn._training._state", "PartialFitState"
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
    content = saved(np.array([Payload(tmp_path / "made")]))
    arrays = [name for name in members_of(path) if name.endswith(".npy")]
    rewrite(path, lambda members: members.update(dict.fromkeys(arrays, content)))
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


def saved(array):
    content = io.BytesIO()
    np.save(content, array, allow_pickle=True)
    return content.getvalue()


def of_zeros(size):
    return saved(np.zeros(size, dtype=np.uint8))


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
