"""The documentation says what the package does: docstrings, pages and README."""

import contextlib
import doctest
import importlib
import inspect
import io
import re
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpydoc.docscrape import NumpyDocString
from numpydoc.validate import validate

import skproj
from skproj.linear_model import _objective
from skproj.projection import BALLS, _l1inf
from skproj.utils._docs import shared_docs

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = sorted((ROOT / "doc").glob("*.rst"))
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS

# Not every object needs a longer description or a relative to point to, and a single
# returned value may have a name.
WAIVED = {"ES01", "SA01", "RT02"}
# Methods are shown in the example of their class.
WAIVED_FOR_METHODS = WAIVED | {"EX01"}
# Objects that use no method of the literature.
NO_REFERENCES = re.compile(
    r"projection\.(norm_\w+|Ball)$|^skproj\.(blocks\.|datasets\.|show_versions$)"
)


def public_objects():
    """Name every public function and class by its documented place."""
    for subpackage in (*skproj._SUBPACKAGES, "nn.functional", "nn.prune"):
        module = importlib.import_module(f"skproj.{subpackage}")
        for name in module.__all__:
            obj = getattr(module, name)
            if inspect.isclass(obj) or inspect.isroutine(obj):
                yield f"{module.__name__}.{name}"
    yield "skproj.show_versions"


def public_methods():
    """Name every public method that a class of skproj defines itself."""
    for name in public_objects():
        module, _, attribute = name.rpartition(".")
        obj = getattr(importlib.import_module(module), attribute)
        if not inspect.isclass(obj):
            continue
        for method, function in vars(obj).items():
            is_method = isinstance(function, classmethod | staticmethod)
            is_method = is_method or inspect.isfunction(function)
            if is_method and not method.startswith("_"):
                yield f"{name}.{method}"


OBJECTS = list(public_objects())
METHODS = list(public_methods())


def errors(name, waived):
    return [error for error in validate(name)["errors"] if error[0] not in waived]


@pytest.mark.parametrize("name", OBJECTS)
def test_docstring_of_object_is_complete(name):
    assert errors(name, WAIVED) == []


@pytest.mark.parametrize("name", METHODS)
def test_docstring_of_method_is_complete(name):
    assert errors(name, WAIVED_FOR_METHODS) == []


@pytest.mark.parametrize("name", [x for x in OBJECTS if not NO_REFERENCES.search(x)])
def test_docstring_cites_its_method(name):
    module, _, attribute = name.rpartition(".")
    obj = getattr(importlib.import_module(module), attribute)
    assert NumpyDocString(inspect.getdoc(obj))["References"]


def test_api_page_lists_every_public_object():
    listed = set()
    module = "skproj"
    for line in (ROOT / "doc" / "api" / "index.rst").read_text().splitlines():
        if match := re.match(r"\.\. currentmodule:: (\S+)", line):
            module = match[1]
        elif match := re.fullmatch(r"   ([\w.]+)", line):
            listed.add(f"{module}.{match[1]}")
    assert listed == set(OBJECTS)


def test_every_public_object_is_shown_to_users():
    """The page of a topic, the README or an example has it, not only the API page."""
    examples = (ROOT / "examples").rglob("*.py")
    texts = [path.read_text(encoding="utf-8") for path in (README, *PAGES, *examples)]
    words = set(re.findall(r"\w+", " ".join(texts)))
    # A name with an underscore at its end is the twin of a function, in place.
    names = {name.rpartition(".")[2].removesuffix("_") for name in OBJECTS}
    assert names <= words


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_examples_of_page_run(page):
    test = doctest.DocTestParser().get_doctest(
        page.read_text(encoding="utf-8"), {}, page.name, str(page), 0
    )
    output = []
    doctest.DocTestRunner(optionflags=OPTIONS).run(test, out=output.append)
    assert not output, "".join(output)


def test_examples_of_readme_run():
    """Each Python block prints what the text block right after it says."""
    blocks = re.findall(
        r"^```python\n(.+?)^```\n(?:\n```text\n(.+?)^```\n)?",
        README.read_text(encoding="utf-8"),
        flags=re.DOTALL | re.MULTILINE,
    )
    assert blocks
    namespace = {}
    for code, expected in blocks:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(code, namespace)
        assert doctest.OutputChecker().check_output(
            expected, printed.getvalue(), OPTIONS
        ), printed.getvalue()


def test_figure_of_readme_is_what_its_example_draws(monkeypatch):
    """The build of the documentation draws it anew, and stores what it shows."""
    monkeypatch.syspath_prepend(ROOT / "doc" / "_ext")
    readme_figures = importlib.import_module("readme_figures")
    readme = README.read_text(encoding="utf-8")
    shown = re.findall(r"!\[.*\]\(doc/images/(.+?)\)", readme)
    assert shown == list(readme_figures.FIGURES)
    for name, example in readme_figures.FIGURES.items():
        stored = readme_figures.stored_description(name)
        assert stored["script"] == readme_figures.digest(example), (
            f"{example.name} has changed: run make doc, which draws {name} anew"
        )
        choices = re.findall(r"chosen: η = [\d.]+, (\d+) features", str(stored))
        caption = readme.partition(name)[2].split("*", 2)[1]
        assert re.findall(r"\b\d+\b", caption.partition("chosen")[2]) == choices
        # Radii of the two searches, each with a score and a number of features.
        lengths = [len(ax["lines"][0]) for ax in stored["axes"]]
        assert min(lengths) > 5
        assert lengths[:2] == lengths[2:]


def test_readme_lists_every_ball():
    rows = re.findall(
        r"^\| `(\w+)` \|.*\| `(\w+)` \| (yes|no) \|$",
        README.read_text(encoding="utf-8"),
        flags=re.MULTILINE,
    )
    assert rows == [
        (name, ball.projection.__name__, "yes" if ball.exact else "no")
        for name, ball in BALLS.items()
        if ball.sparsifying
    ]


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "doc/adding_a_ball.rst"])
def test_files_and_functions_that_contributors_are_sent_to_exist(page):
    """A file by the end of its path, and a name beside it by its definition there."""
    text = (ROOT / page).read_text(encoding="utf-8")
    folders = ("skproj", "tests", "doc", "benchmarks", "changes")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.*")]
    places = re.findall(
        r"(?:`(\w[\w.]*)` (?:and `(\w[\w.]*)` )?(?:in|of)\s+)?"
        r"``?([\w/]+\.(?:pyx?|pxd|h|rst))`",
        text,
    )
    assert places
    for *names, place in places:
        found = [path for path in files if f"/{path.as_posix()}".endswith(f"/{place}")]
        assert found, place
        sources = "\n".join(path.read_text(encoding="utf-8") for path in found)
        for name in filter(None, names):
            last = name.rpartition(".")[2]
            definition = rf"^ *(c?def|class)\b[^=\n(]*\b{last}\b|^ *{last} ?="
            assert re.search(definition, sources, flags=re.MULTILINE), (name, place)


def roads_to_the_kernel(model, X, y, monkeypatch):
    """Count the ways from `fit` to the kernels of linear models and the l1,inf ball.

    Each is a tuple of files and functions, `fit` first. What decorators put around
    `fit` is left out, and the call of the kernel.
    """
    package, roads = Path(skproj.__file__).parent, Counter()
    levels, make_part = _l1inf._l1inf.l1inf_levels, _objective.Part

    def note(kernel, *args):
        frame, road = sys._getframe(1), []
        while frame is not None:
            path = Path(frame.f_code.co_filename)
            if package in path.parents:
                place = path.relative_to(package).as_posix()
                road.append((place, frame.f_code.co_name))
            frame = frame.f_back
        names = [name for _, name in road]
        roads[tuple(road[names.index("fit") :: -1])] += 1
        return kernel(*args)

    def make_noted(*args):
        return SimpleNamespace(solve=partial(note, make_part(*args).solve))

    noted = SimpleNamespace(l1inf_levels=partial(note, levels))
    monkeypatch.setattr(_l1inf, "_l1inf", noted)
    monkeypatch.setattr(_objective, "Part", make_noted)
    model.fit(X, y)
    return roads


@pytest.mark.parametrize(
    ("model", "n_features"),
    [
        (skproj.ProjectionFeatureSelector(eta=1.0, projection="l1inf"), 12),
        (skproj.ProjectionFeatureSelector(eta=1.0, projection="l1inf"), 300),
        (
            skproj.SparseSupervisedAutoencoder(
                projection="l1inf", eta=1.0, max_epochs=1, random_state=0
            ),
            12,
        ),
    ],
)
def test_contributors_are_told_the_road_to_the_kernel(model, n_features, monkeypatch):
    """How many calls there are, in which files, and in which order: at most 8 in 5."""
    X = np.random.default_rng(0).normal(size=(60, n_features))
    roads = roads_to_the_kernel(model, X, X[:, :3].argmax(axis=1), monkeypatch)
    assert max(map(len, roads)) + 1 <= 8  # with the call of the kernel
    searches = {road for road in roads if "eta_for" in [name for _, name in road]}
    (road,) = set(roads) - searches
    assert all(roads[road] >= roads[search] for search in searches)
    files = list(dict.fromkeys(file for file, _ in road))
    assert len(files) <= 5
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    told = re.search(
        rf"`{type(model).__name__}\.fit`[^.]*?(\d+)\s+calls\s+in\s+(\d+)\s+Python\s+files"
        r".*?:\n\n(.*?)\n\n\D",
        text,
        re.S,
    )
    assert (int(told[1]), int(told[2])) == (len(road) + 1, len(files))
    places = [told[3].find(f"`{file}`") for file in files]
    assert -1 not in places
    assert places == sorted(places)
    for _, name in road:
        assert re.search(rf"`(\w+\.)?{name}`", told[3]), name


def test_shared_parts_replace_whole_lines_only():
    """A formula may hold braces of its own."""

    @shared_docs(loss="loss : str")
    def documented():
        r"""Minimise \text{loss}.

        {loss}
        """

    assert documented.__doc__ == "Minimise \\text{loss}.\n\nloss : str\n"
