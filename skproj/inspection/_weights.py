"""Display of weight matrices as images, before and after a projection."""

import numpy as np
from sklearn.utils import check_array

from skproj.inspection import _common
from skproj.utils._docs import shared_docs
from skproj.utils._optional import import_optional

# Darker than the middle of the colour map.
ZERO_COLOR = "#B3B3B3"
# Percentile of the absolute weights where the colours end: single large weights would
# leave the others without colour.
COLOR_LIMIT_PERCENTILE = 99.5
# Names of the rows; those of `coefs_` and `encoder_weights_` are hidden neurons.
ROW_NAMES = {"coef_": "output", "components_": "component"}
# An image of usual size has little more than one pixel for each of these.
MAX_IMAGE_ROWS, MAX_IMAGE_COLUMNS = 150, 400

TITLES = ("before", "after")

DOCS = {
    **_common.DOCS,
    "order": """
    order : {"index", "norm"}, default="index"
        Order of the columns: that of the features, or the largest first by the norm in
        `after`.
    """,
    "panels": """
    ax : matplotlib Axes or array-like of 2 of them, default=None
        Where to draw, one for each matrix; None makes a new figure.
    """,
    "drawn_in_order": "{order}\n{panels}\n\n{display}",
}


@shared_docs(**DOCS)
class WeightsDisplay:
    """Weight matrices as images with a column for each feature.

    Create it with `from_estimator` or `from_weights`. Weights that are exactly zero are
    grey: removed features are grey columns, as in the figures of [1]_.

    Parameters
    ----------
    after : array-like of shape (n_hidden, n_features)
        The weights, a row for each hidden neuron or output.
    before : array-like of shape (n_hidden, n_features), default=None
        The weights before a projection, to be drawn above.
    titles : tuple of str, default=("before", "after")
        Titles of the two matrices; only the second is used without `before`.
    row_name : str, default="hidden neuron"
        Name of a row of the matrices.

    Attributes
    ----------
    support : ndarray of bool of shape (n_features,)
        Which columns of `after` are not zero.
    axes_ : ndarray of matplotlib Axes of shape (n_panels,)
        Axes of the images: one, or two with `before`.
    ax_ : matplotlib Axes
        Those of `after`, the last of them.
    figure_ : matplotlib Figure
        Their figure.
    images_ : list of matplotlib AxesImage
        The images.
    colorbar_ : matplotlib Colorbar
        The scale of colours, which the images share. It ends where the largest 0.5 % of
        the weights begin.

    See Also
    --------
    SupportDisplay : The importances of the features, with their names.
    SparsityDisplay : How many weights are zero, layer by layer.

    Notes
    -----
    A matrix of more than 400 columns or 150 rows is drawn with several of them in one,
    where each pixel is the weight of the largest absolute value: no weight that is kept
    gets lost between pixels.

    {bilevel_reference}

    Examples
    --------
    >>> import numpy as np
    >>> from skproj.inspection import WeightsDisplay
    >>> from skproj.projection import projection_bilevel_l1inf_ball
    >>> W = np.random.default_rng(0).normal(size=(20, 50))
    >>> P = projection_bilevel_l1inf_ball(W, 10.0, axis=0)
    >>> display = WeightsDisplay.from_weights(W, P)
    >>> bool(np.array_equal(display.support, P.any(axis=0)))
    True
    """

    def __init__(self, *, after, before=None, titles=TITLES, row_name="hidden neuron"):
        self.after = check_array(after, input_name="after")
        self.before = before
        if before is not None:
            self.before = check_array(before, input_name="before")
            if self.before.shape != self.after.shape:
                raise ValueError(
                    "before and after must have the same shape, got "
                    f"{self.before.shape} and {self.after.shape}."
                )
        self.titles = titles
        self.row_name = row_name
        self.support = self.after.any(axis=0)

    @classmethod
    def from_estimator(cls, estimator, *, order="index", ax=None):
        """Draw the first layer of a fitted estimator.

        Parameters
        ----------
        estimator : estimator object
            A fitted autoencoder, network or linear model: one with `encoder_weights_`,
            `coefs_`, `coef_` or `components_`, or a pipeline or search with one. The
            weights before the projection are not kept by any of them; for these use
            `from_weights`.
        {drawn_in_order}

        {not_fitted}
        TypeError
            If it has no weights.
        """
        attribute, matrices = _common.find_weights(estimator)
        title = "coefs_[0]" if attribute == "coefs_" else attribute
        row_name = ROW_NAMES.get(attribute, "hidden neuron")
        display = cls(after=matrices[0], titles=("", title), row_name=row_name)
        return display.plot(ax, order=order)

    @classmethod
    def from_weights(cls, before, after, *, titles=TITLES, order="index", ax=None):
        """Draw the weights before and after a projection.

        Parameters
        ----------
        before, after : array-like of shape (n_hidden, n_features)
            The two matrices.
        titles : tuple of str, default=("before", "after")
            Their titles.
        {drawn_in_order}

        Raises
        ------
        ValueError
            If the matrices differ in shape.
        """
        return cls(before=before, after=after, titles=titles).plot(ax, order=order)

    def plot(self, ax=None, *, order="index"):
        """Draw the matrices.

        Parameters
        ----------
        {panels}
        {order}

        {display}

        Raises
        ------
        ValueError
            If `order` is unknown, or the number of axes is wrong.
        """
        if order not in ("index", "norm"):
            raise ValueError(f'order must be "index" or "norm", got {order!r}.')
        both = zip((self.before, self.after), self.titles, strict=True)
        panels = [(W, title) for W, title in both if W is not None]
        axes = np.ravel(_common.new_axes(len(panels)) if ax is None else ax)
        if len(axes) != len(panels):
            raise ValueError(
                f"ax must be {len(panels)} axes, one for each matrix, got {len(axes)}."
            )
        columns = np.arange(self.after.shape[1])
        if order == "norm":
            columns = np.argsort(-np.linalg.norm(self.after, axis=0), kind="stable")
        colours = import_optional("matplotlib", extra="plot").colormaps["PuOr_r"]
        colours = colours.with_extremes(bad=ZERO_COLOR)
        sizes = np.abs(np.concatenate([W[W != 0.0] for W, _ in panels]))
        limit = np.percentile(sizes, COLOR_LIMIT_PERCENTILE) if len(sizes) > 0 else 1.0
        look = {"cmap": colours, "vmin": -limit, "vmax": limit, "aspect": "auto"}
        self.axes_, self.ax_, self.figure_ = axes, axes[-1], axes[-1].figure
        self.images_ = []
        for panel, (W, title) in zip(axes, panels, strict=True):
            drawn = _merge_rows(W[:, columns].T, MAX_IMAGE_COLUMNS).T
            drawn = np.ma.masked_equal(_merge_rows(drawn, MAX_IMAGE_ROWS), 0.0)
            extent = (-0.5, W.shape[1] - 0.5, W.shape[0] - 0.5, -0.5)
            image = panel.imshow(drawn, extent=extent, interpolation="nearest", **look)
            self.images_.append(image)
            n_kept = np.count_nonzero(W.any(axis=0))
            panel.set_title(f"{title}: {n_kept} of {W.shape[1]} columns are not zero")
            panel.set_ylabel(self.row_name.capitalize())
            for axis in (panel.xaxis, panel.yaxis):
                _common.whole_ticks(axis)
        self.ax_.set_xlabel("Feature" + ", the largest first" * (order == "norm"))
        options = {"extend": "both", "label": "Weight (grey: zero)", "ax": list(axes)}
        self.colorbar_ = self.figure_.colorbar(self.images_[-1], **options)
        return self


def _merge_rows(W, n_rows):
    """Return at most so many rows, each with the largest of neighbouring weights."""
    if len(W) <= n_rows:
        return W
    starts = np.linspace(0, len(W), n_rows, endpoint=False).astype(int)
    highest, lowest = (f.reduceat(W, starts) for f in (np.maximum, np.minimum))
    return np.where(highest >= -lowest, highest, lowest)
