"""Configuration of the documentation; built and read without any network access."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

import skproj

project = "skproj"
author = "The skproj developers"
copyright = author
version = release = skproj.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.extlinks",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
    "mathml",
    "skproj_doc",
    "sphinx_copybutton",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "benchmarks_*.rst"]  # the tables are included
default_role = "literal"  # single backticks in docstrings are code

autodoc_typehints = "none"  # types are in the numpydoc sections
numpydoc_show_class_members = False  # the class template lists them
extlinks = {
    "arxiv": ("https://arxiv.org/abs/%s", "arXiv:%s"),
    "doi": ("https://doi.org/%s", "doi:%s"),
}
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "subsection_order": [
        "../examples/features",
        "../examples/single_cells",
        "../examples/networks",
        "../examples/projections",
    ],
    "doc_module": ("skproj",),
    "reference_url": {"skproj": None},
    # The first one saves the figures of README.
    "image_scrapers": ("readme_figures.save_figure", "matplotlib"),
    "backreferences_dir": "api/generated/examples",
    "abort_on_example_error": True,
    "parallel": 2,
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_signature": False,
    "thumbnail_size": (640, 448),
    "ignore_repr_types": r"matplotlib\.",
}

# Prompts and output are not copied.
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "pydata_sphinx_theme"
html_title = f"skproj {release}"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["skproj.css"]
html_show_sourcelink = False
html_theme_options = {
    "navigation_with_keys": False,
    "show_nav_level": 2,
    # One row, with short titles and a button instead of a search field.
    "header_links_before_dropdown": 6,
    "navbar_persistent": ["search-button"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
# The sidebar of these pages would be empty: they have no subpages.
html_sidebars = {
    page: []
    for page in (
        "index",
        "install",
        "tutorial",
        "glossary",
        "comparison",
        "comparison_projections",
        "adding_a_ball",
        "roadmap",
        "changelog",
        "references",
    )
}
