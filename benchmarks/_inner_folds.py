"""How the peers split their training data to choose by."""

from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold


class FoldsOfGroups(StratifiedGroupKFold):
    """Stratified folds that keep together the samples of a group.

    The groups are given once, so that searches need not pass them on.
    """

    def __init__(self, groups, n_splits=5, random_state=None):
        super().__init__(n_splits, shuffle=True, random_state=random_state)
        self.groups = groups

    def split(self, X, y, groups=None):
        """Split by the groups that were given first."""
        return super().split(X, y, self.groups)


def inner_folds(seed, groups=None, n_splits=3):
    """Split the training data, to choose by."""
    if groups is not None:
        return FoldsOfGroups(groups, n_splits, random_state=seed)
    return StratifiedKFold(n_splits, shuffle=True, random_state=seed)
