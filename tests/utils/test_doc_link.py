"""The "?" of an estimator in a notebook leads to its page in the documentation."""

import importlib
from email.message import Message
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from sklearn.base import BaseEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_html_repr

import skproj
from skproj import ProjectionFeatureSelector
from skproj.utils import _doc_link

API = Path(__file__).parents[2] / "doc" / "api" / "index.rst"
URL = "https://docs.example/stable"


def public_estimators():
    for subpackage in skproj._SUBPACKAGES:
        module = importlib.import_module(f"skproj.{subpackage}")
        for name in module.__all__:
            obj = getattr(module, name)
            if isinstance(obj, type) and issubclass(obj, BaseEstimator):
                yield module.__name__, obj


@pytest.fixture
def publish(monkeypatch):
    """Set the metadata of the package, as if it was installed with these addresses."""

    def set_urls(*entries):
        package = Message()
        for entry in entries:
            package["Project-URL"] = entry
        monkeypatch.setattr(_doc_link, "metadata", lambda name: package)

    _doc_link.documentation_url.cache_clear()
    yield set_urls
    _doc_link.documentation_url.cache_clear()


def test_every_estimator_links_to_its_page(publish):
    publish("Source, https://code.example", f"Documentation, {URL}/")
    estimators = list(public_estimators())
    assert len(estimators) >= 8
    pages = API.read_text(encoding="utf-8")
    for module, cls in estimators:
        link = cls()._get_doc_link()
        assert link == f"{URL}/api/generated/{module}.{cls.__name__}.html"
        section = pages.partition(f".. currentmodule:: {module}\n")[2]
        assert f"\n   {cls.__name__}\n" in section.partition("currentmodule")[0]


def test_html_has_the_link(publish):
    publish(f"Documentation, {URL}")
    page = (
        f"{URL}/api/generated/skproj.feature_selection.ProjectionFeatureSelector.html"
    )
    html = estimator_html_repr(
        make_pipeline(StandardScaler(), ProjectionFeatureSelector())
    )
    assert f'href="{page}"' in html
    assert "Documentation for ProjectionFeatureSelector" in html


def test_without_an_address_there_is_no_link(publish, monkeypatch):
    publish("Source, https://code.example")
    html = estimator_html_repr(ProjectionFeatureSelector())
    assert "Documentation for ProjectionFeatureSelector" not in html

    def not_installed(name):
        raise PackageNotFoundError(name)

    _doc_link.documentation_url.cache_clear()
    monkeypatch.setattr(_doc_link, "metadata", not_installed)
    assert ProjectionFeatureSelector()._get_doc_link() == ""
