"""Attributes and versions of saved estimators."""

import copy
import inspect
import pickle
import re
import zipfile

import pytest
import skops.io
from numpy.testing import assert_array_equal
from numpydoc.docscrape import NumpyDocString
from persistence_helpers import CASES, attributes_of, edit, through_file
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skproj
from skproj import GroupSparseNMF
from skproj.persistence import _estimators, dump, load
from skproj.utils._state import VERSION, VersionedState

# ---------------------------------------------------------------------------
# Attributes


OWN = sorted(c for c, (model, _) in CASES.items() if isinstance(model, VersionedState))


def documented_attributes(kind):
    return {
        name
        for row in NumpyDocString(inspect.cleandoc(kind.__doc__))["Attributes"]
        for name in row.name.split(", ")
        if not isinstance(inspect.getattr_static(kind, name, None), property)
    }


@pytest.mark.parametrize(
    "kind", sorted({type(CASES[case][0]) for case in OWN}, key=str)
)
def test_fitted_attributes_are_the_documented_ones(kind):
    names = {"n_features_in_", "feature_names_in_", *kind._optional_attributes}
    names = names.union(*kind()._fitted_attributes)
    assert {name for name in names if name[0] != "_"} == documented_attributes(kind)


@pytest.mark.parametrize("case", OWN)
def test_missing_attributes_are_refused_by_name(case, fitted, tmp_path):
    """Fitted ones, and parameters; `classes_` of a linear model is not always there."""
    path = tmp_path / "model.skops"
    model = fitted(case)
    optional = {"feature_names_in_", *getattr(model, "_optional_attributes", ())}
    names = sorted(n for n in vars(model).keys() - optional if not n.startswith("__"))
    message = f"its {type(model).__name__} lacks "
    for name in names:
        damaged = object.__new__(type(model))
        vars(damaged).update({n: v for n, v in vars(model).items() if n != name})
        with pytest.raises(ValueError, match=f"{message}'{name}'$"):
            damaged.check_state()
    dump(model, path)
    edit(path, lambda schema: attributes_of(schema).pop(names[0]))
    with pytest.raises(
        ValueError, match=f"model.skops cannot be loaded: {message}'{names[0]}'$"
    ):
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
# Versions


@pytest.mark.parametrize("case", ["selector", "nmf", "mlp"])
def test_a_newer_state_is_refused(case, fitted, tmp_path, monkeypatch):
    path = tmp_path / "new.skops"
    kind = type(fitted(case))
    known = kind._state_migrations
    with monkeypatch.context() as newer:
        newer.setattr(kind, "_state_migrations", (*known, dict))
        dump(fitted(case), path)
        pickled = pickle.dumps(fitted(case))
    versions = f"version {len(known) + 2}, {len(known) + 1} is known"
    message = f"saved by a newer version of skproj .*{versions}.*update"
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
        known = GroupSparseNMF._state_migrations
        newer.setattr(GroupSparseNMF, "_state_migrations", (*known, dict))
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

    names, _ = GroupSparseNMF._fitted_attributes
    names = ("parts_", "n_parts_", *names[1:])
    monkeypatch.setattr(GroupSparseNMF, "_fitted_attributes", (names,))
    known = GroupSparseNMF._state_migrations
    monkeypatch.setattr(GroupSparseNMF, "_state_migrations", (*known, rename, count))
    loaded = load(path)
    assert_array_equal(loaded.parts_, fitted("nmf").components_)
    assert loaded.n_parts_ == 2
    assert loaded.__getstate__()[VERSION] == len(known) + 3
    assert not hasattr(loaded, "components_")
