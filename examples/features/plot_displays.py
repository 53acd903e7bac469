"""
Plots of sparse models
======================

This example shows the five displays of :mod:`skproj.inspection`: score against radius,
selected features, weights, separation of the classes, and sparsity of the layers. They
are display objects as in scikit-learn; the plotted values are attributes, so each point
of a plot can be traced back to a model.
"""

# %%
# Score and number of features against eta
# ----------------------------------------
# The cross-validated score, with its standard deviation over the folds, and the number
# of selected features for each radius. The dotted line is the chosen radius, here the
# smallest one whose score is within one standard error of the best.
import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skproj import (
    ProjectionFeatureSelector,
    ProjectionFeatureSelectorCV,
    SparseMLPClassifier,
    SparseSupervisedAutoencoder,
)
from skproj.datasets import make_omics
from skproj.feature_selection import StabilitySelector
from skproj.inspection import (
    EtaPathDisplay,
    LatentDisplay,
    SparsityDisplay,
    SupportDisplay,
    WeightsDisplay,
)

cancer = load_breast_cancer(as_frame=True)
X, y = cancer.data, cancer.target_names[cancer.target]
selector = ProjectionFeatureSelectorCV(
    np.geomspace(0.1, 20.0, 12),
    cv=3,
    scoring="accuracy",
    keep_gain="one-standard-error",
    random_state=0,
).fit(X, y)
path = EtaPathDisplay.from_estimator(selector)

# %%
# Each point of the plot is a model. This one is the sparsest with an accuracy of at
# least 93 %:
i = int(np.argmax(path.mean_scores >= 0.93))
sparser = ProjectionFeatureSelector(**path.params[i]).fit(X, y)
print(f"accuracy {path.mean_scores[i]:.3f}:", list(sparser.get_feature_names_out()))

# %%
# Selected features
# -----------------
# The scores of the selector, the largest first.
support = SupportDisplay.from_estimator(selector)

# %%
# Stability selection repeats the selection on halves of the data, and keeps the
# features that are selected on most halves. The other features are grey and hatched.
stable = StabilitySelector(ProjectionFeatureSelector(eta=5.0), n_pairs=10)
stable.set_params(random_state=0).fit(X, y)
stability = SupportDisplay.from_estimator(stable, max_features=15)

# %%
# First-layer weights
# -------------------
# The first layer of a network trained with 1000 genes, and of a network that has
# selected 60 of them. Columns are genes; zero weights are grey.
omics = make_omics(n_samples=100, n_features=1000, n_classes=3, random_state=0)
genes = StandardScaler().fit_transform(np.log1p(omics.data).astype(np.float32))
dense = SparseSupervisedAutoencoder(eta=np.inf, max_epochs=5, random_state=0)
sparse = SparseSupervisedAutoencoder(
    n_features_to_select=60, max_epochs=5, random_state=0
)
weights = WeightsDisplay.from_weights(
    dense.fit(genes, omics.target).encoder_weights_,
    sparse.fit(genes, omics.target).encoder_weights_,
    titles=("without a constraint", "after the selection"),
)

# %%
# Separation of the classes
# -------------------------
# The latent code of a supervised autoencoder has one value per class, the logit. The
# plot shows two principal components of the ten logits for test images of digits, with
# 30 of the 64 pixels selected.
digits = load_digits()
train, test = train_test_split(np.arange(len(digits.data)), random_state=0)
network = SparseSupervisedAutoencoder(
    n_features_to_select=30, max_epochs=10, random_state=0
)
model = make_pipeline(StandardScaler(), network)
model.fit(digits.data[train], digits.target[train])
latent = LatentDisplay.from_estimator(model, digits.data[test], digits.target[test])

# %%
# For two classes, the prediction depends on the difference of the logits: samples on
# the wrong side of the line are misclassified.
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
network = SparseSupervisedAutoencoder(n_features_to_select=8, random_state=0)
model = make_pipeline(StandardScaler(), network).fit(X_train, y_train)
logits = LatentDisplay.from_estimator(model, X_test, y_test)

# %%
# Sparsity of the layers
# ----------------------
# A network with 95 % zeros. The training determines how the zeros are distributed among
# the layers.
network = SparseMLPClassifier(
    (64, 32), target_sparsity=0.95, max_epochs=4, random_state=0
)
model = make_pipeline(StandardScaler(), network)
model.fit(digits.data[train], digits.target[train])
sparsity = SparsityDisplay.from_estimator(model)
