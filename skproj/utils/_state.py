"""What an estimator is when it is saved."""

VERSION = "_skproj_state_version"


class VersionedState:
    """Mixin, on the left of `BaseEstimator`: saved estimators say how old they are.

    It is used by all that copies or saves through the pickle protocol: pickle, joblib,
    `copy.deepcopy`, skops.

    Attributes
    ----------
    _state_migrations : tuple of callable
        The first turns a state of version 1, a dict, into one of version 2, and so on.
        Who renames a fitted attribute, or changes what it holds, adds one.
    """

    _state_migrations = ()

    def __getstate__(self):
        # The dict of BaseEstimator is that of the estimator itself.
        return {**super().__getstate__(), VERSION: 1 + len(self._state_migrations)}

    def __setstate__(self, state):
        state = dict(state)
        version, newest = state.pop(VERSION, 1), 1 + len(self._state_migrations)
        if version > newest:
            raise ValueError(
                f"this {type(self).__name__} was saved by a newer version of skproj "
                f"(its state has version {version}, {newest} is known here): update "
                "skproj."
            )
        for migrate in self._state_migrations[version - 1 :]:
            state = migrate(state)
        super().__setstate__(state)
