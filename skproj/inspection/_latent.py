"""Display of samples in the latent space of a model."""

import numpy as np
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline
from sklearn.utils import check_array, check_consistent_length, column_or_1d
from sklearn.utils.multiclass import type_of_target

from skproj.inspection import _common
from skproj.utils._docs import shared_docs
from skproj.utils._wording import short_names

# Of both there are numbers that have no common divisor with that of the colours.
HATCHES = ("", "////", "....", "xxxx", "\\\\\\\\", "oooo", "----")
MARKERS = "os^DvP*X<>p"


@shared_docs(**_common.DOCS)
class LatentDisplay:
    """Samples in the latent space of a model, by class.

    Create it with `from_estimator`. The kind of plot depends on the number of latent
    dimensions:

    - logits of two classes: a histogram of their difference, by whose sign the model
      decides;
    - two dimensions: their plane;
    - more: the plane of the first two principal components;
    - one: a histogram.

    Parameters
    ----------
    codes : array-like of shape (n_samples, n_latent)
        The latent numbers of the samples.
    labels : array-like of shape (n_samples,)
        Their classes.
    classes : array-like of shape (n_classes,), default=None
        The classes in the order of the legend; those of `labels`, sorted, for None.
    are_logits : bool, default=False
        Whether the columns of `codes` are the logits of `classes`.

    Attributes
    ----------
    coordinates : ndarray of shape (n_samples, 1) or (n_samples, 2)
        Coordinates of each sample in the plot.
    explained_variance_ratio : ndarray of shape (2,) or None
        Share of the variance that each of the principal components has; None if it is
        not these that are drawn.
    {axes}
    artists_ : list of matplotlib Artist
        For each class the PathCollection of its samples, or the BarContainer of its
        histogram.

    See Also
    --------
    SupportDisplay : The features that lead to the latent space.
    sklearn.decomposition.PCA : The principal components.

    {bilevel_reference}

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skproj import SparseSupervisedAutoencoder
    >>> from skproj.inspection import LatentDisplay
    >>> X, y = load_iris(return_X_y=True)
    >>> network = SparseSupervisedAutoencoder(max_epochs=5, random_state=0)
    >>> model = make_pipeline(StandardScaler(), network).fit(X, y)
    >>> display = LatentDisplay.from_estimator(model, X, y)
    >>> display.codes.shape, display.coordinates.shape
    ((150, 3), (150, 2))
    """

    def __init__(self, *, codes, labels, classes=None, are_logits=False):
        self.codes = check_array(codes, input_name="codes")
        self.labels = column_or_1d(labels)
        check_consistent_length(self.codes, self.labels)
        try:
            kind, in_order = type_of_target(self.labels), np.unique(self.labels)
        except TypeError as error:
            text = "labels must be of one type and none of them missing."
            raise ValueError(text) from error
        if kind not in ("binary", "multiclass"):
            raise ValueError(f"labels must be those of classes, got {kind} values.")
        self.classes = in_order if classes is None else np.asarray(classes)
        unknown = set(self.labels.tolist()) - set(self.classes.tolist())
        if unknown:
            raise ValueError(
                f"labels must be among the classes {self.classes.tolist()}, got "
                f"{sorted(unknown)} as well."
            )
        self.are_logits = are_logits
        self.explained_variance_ratio = None
        self.coordinates = self.codes
        if are_logits and self.codes.shape[1] == 2:
            self.coordinates = self.codes[:, 1:] - self.codes[:, :1]
        elif self.codes.shape[1] > 2:
            components = PCA(2).fit(self.codes)
            self.coordinates = components.transform(self.codes)
            self.explained_variance_ratio = components.explained_variance_ratio_

    @classmethod
    def from_estimator(cls, estimator, X, y, *, ax=None):
        """Draw samples in the latent space of a fitted estimator.

        Parameters
        ----------
        estimator : estimator object
            A fitted estimator, pipeline or search whose `transform` gives the latent
            numbers, such as :class:`~skproj.nn.SparseSupervisedAutoencoder`. In a
            pipeline that ends with a model without `transform`, what comes before that.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples, preferably others than those of the training.
        y : array-like of shape (n_samples,)
            Their classes.
        {drawn}

        {not_fitted}
        TypeError
            If it has no `transform`.
        ValueError
            If `y` does not hold classes, or others than the estimator knows.
        """
        model, before = _common.find_step(estimator, _transforms_itself, "transform")
        codes = model.transform(X if before is None else before.transform(X))
        classes = getattr(model, "classes_", None)
        # The features that a selector keeps may be as many as there are classes.
        are_logits = classes is not None and hasattr(model, "encoder_weights_")
        display = cls(codes=codes, labels=y, classes=classes, are_logits=are_logits)
        return display.plot(ax)

    def plot(self, ax=None):
        """Draw the samples.

        {plot}
        """
        # The legend has a line for each class.
        self.ax_ = ax = _common.single_axes(ax, n_bars=len(self.classes))
        self.figure_ = ax.figure
        names = short_names(self.classes)
        if self.coordinates.shape[1] == 1:
            self._draw_histograms(ax, names)
        else:
            self._draw_plane(ax)
        place = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)}
        self.legend_ = ax.legend(
            self.artists_, names, frameon=False, markerscale=1.5, **place
        )
        for text in self.legend_.get_texts():
            text.set_parse_math(False)
        return self

    def _draw_histograms(self, ax, names):
        values = self.coordinates[:, 0]
        edges = _edges_around_zero(values)
        self.artists_ = []
        styles = _common.looks(len(names), HATCHES)
        for label, (color, hatch) in zip(self.classes, styles, strict=True):
            style = {"color": color, "edgecolor": color, "hatch": hatch}
            of_class = values[self.labels == label]
            self.artists_.append(ax.hist(of_class, edges, alpha=0.6, **style)[2])
        ax.set_ylabel("Number of samples")
        _common.whole_ticks(ax.yaxis)
        ax.set_xlabel("Latent number")
        if self.are_logits:
            ax.axvline(0.0, color="black", linestyle=":")
            label = f"Logit of {names[1]} minus logit of {names[0]}"
            ax.set_xlabel(label, parse_math=False)

    def _draw_plane(self, ax):
        self.artists_ = []
        styles = _common.looks(len(self.classes), MARKERS)
        for label, (color, marker) in zip(self.classes, styles, strict=True):
            style = {"color": color, "marker": marker, "alpha": 0.7, "linewidths": 0.0}
            of_class = self.coordinates[self.labels == label]
            self.artists_.append(ax.scatter(*of_class.T, s=20, **style))
        labels = ["First latent number", "Second latent number"]
        if self.explained_variance_ratio is not None:
            labels = [
                f"Principal component {i} ({share:.0%} of the variance)"
                for i, share in enumerate(self.explained_variance_ratio, start=1)
            ]
        ax.set_xlabel(labels[0])
        ax.set_ylabel(labels[1])


def _transforms_itself(model):
    """Whether a model has `transform`, and not from a model inside."""
    is_shell = isinstance(model, Pipeline) or hasattr(model, "best_estimator_")
    return hasattr(model, "transform") and not is_shell


def _edges_around_zero(values):
    """Return edges of equal bins, none of which has values of both signs."""
    n_bins = np.clip(int(3 * len(values) ** (1 / 3)), 10, 40)
    smallest, largest = float(values.min()), float(values.max())
    width = (largest - smallest) / n_bins or 1.0
    edges = width * np.arange(smallest // width, largest // width + 2)
    # In spite of rounding.
    edges[0], edges[-1] = min(edges[0], smallest), max(edges[-1], largest)
    return edges
