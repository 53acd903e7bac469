"""
The displays: what was kept, and what it costs
==============================================

Five plots of fitted models, each for a question of its own: how sparse a model can be,
which features it keeps, what its weights look like, how well it separates the classes,
and which of its layers are sparse. They are display objects as in scikit-learn: what
they draw are attributes, so that each point of a plot leads back to a model.
"""

# %%
# How sparse can the model be?
# ----------------------------
# The score on the samples left out, with its spread over the folds, and the number of
# features that are kept, for all radii. The dotted line is the radius that was chosen:
# here the smallest one whose score is within a standard error of the best.
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
    np.geomspace(0.1, 20.0, 12), cv=3, selection_rule="one-standard-error"
).fit(X, y)
path = EtaPathDisplay.from_estimator(selector)

# %%
# A point of the plot is a model. This one is the sparsest whose accuracy is at least
# 93 %:
i = int(np.argmax(path.mean_scores >= 0.93))
sparser = ProjectionFeatureSelector(**path.params[i]).fit(X, y)
print(f"accuracy {path.mean_scores[i]:.3f}:", list(sparser.get_feature_names_out()))

# %%
# Which features are kept?
# ------------------------
# The scores of the selector, the largest first.
support = SupportDisplay.from_estimator(selector)

# %%
# Would other samples lead to the same features? Stability selection repeats the
# selection on halves of the data; it keeps what most halves agree on. What is not kept
# is grey and hatched.
stable = StabilitySelector(ProjectionFeatureSelector(eta=5.0), n_pairs=10)
stable.set_params(random_state=0).fit(X, y)
stability = SupportDisplay.from_estimator(stable, max_features=15)

# %%
# What is left of the weights?
# ----------------------------
# The first layer of a network that was trained with 1000 genes, and of one that has
# selected 60 of them. Columns belong to genes; weights that are zero are grey.
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
# How well are the classes separated?
# -----------------------------------
# The latent space of a supervised autoencoder has a number for each class, the logits.
# Images of digits that it has not seen, with 30 of the 64 pixels: two principal
# components of the ten logits.
digits = load_digits()
train, test = train_test_split(np.arange(len(digits.data)), random_state=0)
network = SparseSupervisedAutoencoder(
    n_features_to_select=30, max_epochs=10, random_state=0
)
model = make_pipeline(StandardScaler(), network)
model.fit(digits.data[train], digits.target[train])
latent = LatentDisplay.from_estimator(model, digits.data[test], digits.target[test])

# %%
# For two classes it is the difference of the logits that decides: samples on the wrong
# side of the line are errors.
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
network = SparseSupervisedAutoencoder(n_features_to_select=8, random_state=0)
model = make_pipeline(StandardScaler(), network).fit(X_train, y_train)
logits = LatentDisplay.from_estimator(model, X_test, y_test)

# %%
# Which layers are sparse?
# ------------------------
# A network with 95 % zeros: how they are shared out among the layers is what the
# training has found.
network = SparseMLPClassifier(
    (64, 32), target_sparsity=0.95, max_epochs=4, random_state=0
)
model = make_pipeline(StandardScaler(), network)
model.fit(digits.data[train], digits.target[train])
sparsity = SparsityDisplay.from_estimator(model)
