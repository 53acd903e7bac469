"""Docstrings joined from what families share say what is true of each function."""

import inspect
import re

import pytest
from numpydoc.docscrape import NumpyDocString

import skproj.nn.functional
import skproj.projection

ON_ARRAYS = [
    function
    for name in skproj.projection.__all__
    if inspect.isfunction(function := getattr(skproj.projection, name))
]
ON_TENSORS = [getattr(skproj.nn.functional, x) for x in skproj.nn.functional.__all__]
WITH_TWINS = [
    function
    for function in ON_TENSORS
    if function.__name__ not in ("hoyer_sparsity", "projection_n_of_m")
]


def parsed(function):
    return NumpyDocString(inspect.getdoc(function))


def results(function):
    return [result.name for result in parsed(function)["Returns"]]


def name_of(function):
    return function.__name__


@pytest.mark.parametrize("function", ON_ARRAYS, ids=name_of)
def test_results_on_arrays(function):
    options = inspect.signature(function).parameters
    kind = function.__name__.partition("_")[0]
    expected = {"norm": "norm", "hoyer": "sparsity", "radius": "radius"}.get(kind, "P")
    optional = [x.removeprefix("return_") for x in options if x.startswith("return_")]
    assert results(function) == [expected, *optional]


@pytest.mark.parametrize("function", ON_TENSORS, ids=name_of)
def test_results_on_tensors(function):
    name = function.__name__
    first = "X" if name.endswith("_") else "P"
    expected = ["sparsity"] if name == "hoyer_sparsity" else [first]
    if "return_multiplier" in inspect.signature(function).parameters:
        expected.append("multiplier")
    assert results(function) == expected


@pytest.mark.parametrize("function", ON_TENSORS, ids=name_of)
def test_tensors_are_not_called_arrays(function):
    text = inspect.getdoc(function).partition("\nReferences\n")[0]
    assert not re.search(r"\b(ndarray|arrays?|ax[ie]s|np)\b", text)


@pytest.mark.parametrize("function", WITH_TWINS, ids=name_of)
def test_twins_refer_to_each_other(function):
    name, doc = function.__name__, parsed(function)
    in_place = name.endswith("_")
    twin = name[:-1] if in_place else f"{name}_"
    related = [names[0][0] for names, _ in doc["See Also"]]
    # The other name of a function has the docstring of that.
    assert related[0] == twin.replace("projection_bilevel_l12", "projection_l12")
    assert name not in related
    assert in_place == ("is unchanged" in " ".join(doc["Notes"]))


@pytest.mark.parametrize("function", [*ON_ARRAYS, *ON_TENSORS], ids=name_of)
def test_example_begins_with_what_it_needs(function):
    """A name of skproj is imported if it is called, and only then."""
    example = "\n".join(parsed(function)["Examples"])
    [imported] = re.findall(r"from skproj\.[\w.]+ import (.+)", example)
    for name in imported.split(", "):
        assert re.search(rf"(?<![\w.]){name}\(", example)
    assert ("import numpy" in example) == ("np." in example)
