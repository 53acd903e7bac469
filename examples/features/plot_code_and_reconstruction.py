"""
Selection, code and reconstruction
==================================

A sparse supervised autoencoder does three things at once. It selects features, it
encodes a sample in one number per class, and it decodes the kept features from this
code. Images of digits show all three.
"""

# %%
# Selection
# ---------
# The network keeps as many of the 64 pixels as a linear model needs, see
# :doc:`/choice`. On the left is the importance of each pixel; grey ones were removed.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from skproj import SparseSupervisedAutoencoder
from skproj.inspection import LatentDisplay

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X, y, test_size=0.3, stratify=y, random_state=0
)
model = SparseSupervisedAutoencoder(random_state=0).fit(X_train, y_train)
kept = model.get_support()
accuracy = model.score(X_test, y_test)
print(f"{kept.sum()} of {kept.size} pixels, accuracy {accuracy:.3f} on new digits")

# %%
# Code
# ----
# The code has one number per class, the logits of the classifier. The first two
# principal components tell some of the digits apart; the others need all ten numbers.
fig, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
importances = np.ma.masked_array(model.feature_importances_, ~kept).reshape(8, 8)
colors = plt.get_cmap("viridis").with_extremes(bad="0.85")
image = axes[0].imshow(importances, cmap=colors)
axes[0].set(title=f"{kept.sum()} of 64 pixels", xticks=[], yticks=[])
fig.colorbar(image, ax=axes[0], label="importance")
LatentDisplay.from_estimator(model, X_test, y_test, ax=axes[1])
plt.show()

# %%
# Reconstruction
# --------------
# The decoder computes the kept pixels from the ten numbers of the code. Above are new
# digits, with the removed pixels in grey, and below what their code says of them.
decoded = model.inverse_transform(model.transform(X_test))
fig, axes = plt.subplots(2, 10, figsize=(9, 2.2), layout="constrained")
for digit, (above, below) in enumerate(axes.T):
    row = np.flatnonzero(y_test == digit)[0]
    for ax, pixels in ((above, X_test[row]), (below, decoded[row])):
        shown = np.ma.masked_array(pixels, ~kept).reshape(8, 8)
        gray = plt.get_cmap("gray_r").with_extremes(bad="#cfe0ee")
        ax.imshow(shown, cmap=gray, vmin=0, vmax=16)
        ax.set(xticks=[], yticks=[])
axes[0, 0].set_ylabel("digit")
axes[1, 0].set_ylabel("decoded")
plt.show()

# %%
# Principal components of the same pixels are the best linear code for the
# reconstruction, and know nothing of the classes. The code of the network has as many
# numbers, predicts the digit, and explains about as much of the variance.
pca = PCA(n_components=model.transform(X_test).shape[1]).fit(X_train[:, kept])
of_pca = pca.inverse_transform(pca.transform(X_test[:, kept]))
spread = np.sum((X_test - X_test.mean(axis=0))[:, kept] ** 2)
for name, found in (("autoencoder", decoded[:, kept]), ("PCA", of_pca)):
    share = 1 - np.sum((X_test[:, kept] - found) ** 2) / spread
    print(f"{name}: {share:.0%} of the variance of the kept pixels")
