"""
Digits from strokes: parts of a given sparsity
==============================================

Nonnegative matrix factorisation writes each image as a sum of parts. How much of the
image a part covers is left to chance, unless one says it:
:class:`~skproj.decomposition.GroupSparseNMF` takes the sparsity of the parts as a
parameter and meets it. Here are parts of the handwritten digits that ship with
scikit-learn, for several sparsities, and what the sparsity costs.
"""

# %%
# Data and models
# ---------------
# All models have 16 parts. The Hoyer sparsity of a part is 0 if all pixels are equally
# dark, and 1 if all but one are blank. It is given as an average over the parts: a
# part that needs more pixels gets them, at the expense of the others.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import NMF
from sklearn.model_selection import train_test_split

from skproj.decomposition import GroupSparseNMF
from skproj.projection import hoyer_sparsity

X_train, X_test = train_test_split(
    load_digits().data.astype(np.float32), test_size=0.25, random_state=0
)
n_parts = 16
models = {"NMF": NMF(n_parts, max_iter=500, random_state=0).fit(X_train)}
for level in (0.8, 0.85, 0.9):
    model = GroupSparseNMF(n_parts, sparsity_H=level, random_state=0)
    models[f"level {level}"] = model.fit(X_train)

# %%
# What the sparsity costs
# -----------------------
# The error is that of images that no model has seen: `transform` finds the coefficients
# of the parts, `inverse_transform` the image that they make. Plain factorisation has a
# sparsity too, but it is whatever comes out; up to 0.85 nearly nothing is lost.
print(f"{'model':10} {'sparsity':>8} {'zeros':>6} {'error, new images':>18}")
for name, model in models.items():
    parts = model.components_
    restored = model.inverse_transform(model.transform(X_test))
    error = np.linalg.norm(X_test - restored) / np.linalg.norm(X_test)
    print(
        f"{name:10} {hoyer_sparsity(parts, axis=1).mean():8.3f} "
        f"{np.mean(parts == 0.0):6.0%} {error:18.1%}"
    )

# %%
# The parts
# ---------
# Each row has the 16 parts of a model, the most used one first, and the Hoyer sparsity
# of each. White is exactly zero.
figure, axes = plt.subplots(
    len(models), n_parts, figsize=(13, 4.2), layout="constrained"
)
for row, (name, model) in zip(axes, models.items(), strict=True):
    parts = model.components_
    use = model.transform(X_train).sum(axis=0) * parts.sum(axis=1)
    order = np.argsort(-use)
    sparsities = hoyer_sparsity(parts, axis=1)
    for axis, part in zip(row, order, strict=True):
        axis.imshow(
            np.where(parts[part] > 0.0, parts[part], np.nan).reshape(8, 8),
            cmap="viridis_r",
            vmin=0.0,
        )
        axis.set_title(f"{sparsities[part]:.2f}", fontsize="small")
        axis.set_xticks([])
        axis.set_yticks([])
    row[0].set_ylabel(name)

# %%
# Sparser parts are not better ones as such: they are easier to look at, and what they
# cost depends on the data. Small images also have few pixels for a part to be sparse
# in. :ref:`nmf-benchmark` compares the errors with those of a penalty.
plt.show()
