"""
Parts of digits with a prescribed sparsity
==========================================

Nonnegative matrix factorisation represents each image as a sum of parts.
:class:`~skproj.decomposition.GroupSparseNMF` takes the sparsity of the parts as a
parameter. This example factorises the handwritten digits of scikit-learn at several
sparsities, and shows the parts and the reconstruction error.
"""

# %%
# Data and models
# ---------------
# All models have 16 parts. The Hoyer sparsity of a part is 0 if all pixels are equal,
# and 1 if only one pixel is nonzero. The average over the parts is prescribed; single
# parts may have more or fewer pixels.
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
# Reconstruction error
# --------------------
# The error is computed on test images: `transform` finds the coefficients of the parts,
# `inverse_transform` reconstructs the images. The sparsity of the unconstrained
# factorisation is not controlled. Up to a sparsity of 0.85 the error hardly increases.
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
# Parts
# -----
# Each row has the eight most used parts of a model, with their Hoyer sparsities. White
# is exactly zero.
n_shown = 8
figure, axes = plt.subplots(
    len(models), n_shown, figsize=(7, 4.2), layout="constrained"
)
for row, (name, model) in zip(axes, models.items(), strict=True):
    parts = model.components_
    use = model.transform(X_train).sum(axis=0) * parts.sum(axis=1)
    order = np.argsort(-use)[:n_shown]
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
# Sparser parts are not better in general: they are easier to interpret, and the
# increase of the error depends on the data. Small images also limit the sparsity,
# because they have few pixels. :ref:`nmf-benchmark` compares the errors with those of a
# penalty.
plt.show()
