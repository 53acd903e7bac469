"""Link from the HTML representation of an estimator to its page."""

import functools
from importlib.metadata import PackageNotFoundError, metadata


class DocumentationLink:
    """Mixin, on the left of `BaseEstimator`: the "?" in a notebook has our address."""

    _doc_link_module = "skproj"

    @property
    def _doc_link_template(self):
        url = documentation_url()
        page = "/api/generated/{estimator_module}.{estimator_name}.html"
        return url + page if url else ""  # scikit-learn then shows no "?"


@functools.cache
def documentation_url():
    """Return what the metadata of the package have as "Documentation", or ""."""
    try:
        entries = metadata("skproj").get_all("Project-URL", [])
    except PackageNotFoundError:
        return ""
    urls = dict(entry.split(", ", 1) for entry in entries)
    return urls.get("Documentation", "").rstrip("/")
