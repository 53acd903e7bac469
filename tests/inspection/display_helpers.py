"""Data of the displays, and what is read off them."""

from sklearn.datasets import load_breast_cancer, load_digits, load_iris

CANCER = load_breast_cancer(as_frame=True)
DIGITS = load_digits().data[::6]
FLOWERS = load_iris(return_X_y=True)


def texts(legend):
    return [text.get_text() for text in legend.get_texts()]


def tick_labels(axis):
    return [label.get_text() for label in axis.get_ticklabels()]
