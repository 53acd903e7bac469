"""Figures of README, which the build of the gallery draws.

What a figure shows is stored in it as well, as JSON: the build replaces a figure that
is no longer what its example draws, and a test compares README with it. Only a changed
example is a warning: trainings differ from one kind of processor to another.
"""

import hashlib
import json
import re
from pathlib import Path

import numpy as np
from sphinx.util import logging

ROOT = Path(__file__).parents[2]
# The first figure of the example, by the file that README shows.
FIGURES = {
    "accuracy_against_eta.png": ROOT / "examples/features/plot_probes.py",
}
FOLDER = ROOT / "doc" / "images"
DOTS_PER_INCH = 150
# Relative.
TOLERANCE = 0.05
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


def describe(figure, example):
    """Return what a figure shows: the lines and the labels of its axes."""
    axes = [
        {
            "labels": [ax.get_xlabel(), ax.get_ylabel()],
            "legend": [t.get_text() for t in legend.get_texts()] if legend else [],
            "lines": [np.round(line.get_xydata(), 6).tolist() for line in ax.lines],
        }
        for ax in figure.axes
        for legend in [ax.get_legend()]
    ]
    return {"script": digest(example), "axes": axes}


def digest(example):
    """Return a digest of the code and the text of an example."""
    return hashlib.sha256(example.read_text(encoding="utf-8").encode()).hexdigest()


def stored_description(name):
    """Return what is stored in a figure of README, or None."""
    from PIL import Image

    with Image.open(FOLDER / name) as image:
        text = image.info.get("Description")
    return None if text is None else json.loads(text)


def agree(one, other):
    """Whether two descriptions are the same, but for small changes of numbers."""
    if one is None or one["script"] != other["script"]:
        return False
    texts = [json.dumps(description["axes"]) for description in (one, other)]
    numbers = [[float(x) for x in NUMBER.findall(text)] for text in texts]
    same_words = len({NUMBER.sub("", text) for text in texts}) == 1
    return same_words and np.allclose(*numbers, rtol=TOLERANCE, atol=0.0)


def save_figure(block, block_vars, gallery_conf):
    """Save a figure for README, if the old one is another; after each code block."""
    import matplotlib.pyplot as plt

    source = Path(block_vars["src_file"]).resolve()
    is_first = len(block_vars["image_path_iterator"]) == 0 and plt.get_fignums()
    for name, example in FIGURES.items():
        if is_first and source == example:
            figure = plt.figure(plt.get_fignums()[0])
            description = describe(figure, example)
            stored = stored_description(name)
            if not agree(stored, description):
                text = json.dumps(description, separators=(",", ":"))
                options = {"dpi": DOTS_PER_INCH, "metadata": {"Description": text}}
                figure.savefig(FOLDER / name, **options)
                is_current = stored and stored["script"] == description["script"]
                logger = logging.getLogger(__name__)
                (logger.info if is_current else logger.warning)(
                    "%s was not what %s draws. It has been drawn anew: commit it.",
                    FOLDER / name,
                    example.name,
                )
    return ""
