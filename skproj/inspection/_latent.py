"""Display of samples in the latent space of a model."""

import numpy as np
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline
from sklearn.utils import check_array, check_consistent_length, column_or_1d
from sklearn.utils.multiclass import type_of_target

from skproj.inspection._common import (
    BAR_HEIGHT,
    BARS_MARGIN,
    DOCS,
    MARKERS,
    PALETTE,
    find_step,
    shorten,
    single_axes,
    whole_ticks,
)
from skproj.utils._docs import shared_docs

# Three hatches and eight colours together repeat after 24 classes only.
HATCHES = ("", "////", "....")


@shared_docs(**DOCS)
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
    legend_ : matplotlib Legend
        The legend.

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
            kind = type_of_target(self.labels)
            in_order = np.unique(self.labels)
        except TypeError as error:
            raise ValueError(
                "labels must be of one type and none of them missing."
            ) from error
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
        model, before = find_step(estimator, _transforms_itself, "transform")
        codes = model.transform(X if before is None else before.transform(X))
        classes = getattr(model, "classes_", None)
        # The features that a selector keeps may be as many as there are classes.
        are_logits = classes is not None and hasattr(model, "encoder_weights_")
        display = cls(codes=codes, labels=y, classes=classes, are_logits=are_logits)
        return display.plot(ax)

    def plot(self, ax=None):
        """Draw the samples.

        {tall_plot}
        """
        # The legend has a line for each class.
        height = BARS_MARGIN + BAR_HEIGHT * len(self.classes)
        self.ax_ = ax = single_axes(ax, height=height)
        self.figure_ = ax.figure
        if self.coordinates.shape[1] == 1:
            self._draw_histograms(ax)
        else:
            self._draw_plane(ax)
        names = [shorten(name) for name in self.classes]
        self.legend_ = ax.legend(
            self.artists_,
            names,
            loc="upper left",
            bbox_to_anchor=(1.0, 1.0),
            frameon=False,
            markerscale=1.5,
        )
        for text in self.legend_.get_texts():
            text.set_parse_math(False)
        return self

    def _draw_histograms(self, ax):
        values = self.coordinates[:, 0]
        edges = _edges_around_zero(values)
        self.artists_ = []
        for i, name in enumerate(self.classes):
            colour = PALETTE[i % len(PALETTE)]
            _, _, bars = ax.hist(
                values[self.labels == name],
                edges,
                color=colour,
                alpha=0.6,
                edgecolor=colour,
                hatch=HATCHES[i % len(HATCHES)],
            )
            self.artists_.append(bars)
        ax.set_ylabel("Number of samples")
        whole_ticks(ax.yaxis)
        ax.set_xlabel("Latent number")
        if self.are_logits:
            ax.axvline(0.0, color="black", linestyle=":")
            first, second = (shorten(name) for name in self.classes)
            ax.set_xlabel(f"Logit of {second} minus logit of {first}", parse_math=False)

    def _draw_plane(self, ax):
        self.artists_ = []
        for i, name in enumerate(self.classes):
            of_class = self.labels == name
            points = ax.scatter(
                *self.coordinates[of_class].T,
                color=PALETTE[i % len(PALETTE)],
                marker=MARKERS[i % len(MARKERS)],
                s=20,
                alpha=0.7,
                linewidths=0.0,
            )
            self.artists_.append(points)
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
    edges[0] = min(edges[0], smallest)  # in spite of rounding
    return edges
