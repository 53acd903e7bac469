"""State of an estimator for saving and loading."""

from skproj.utils._wording import join_names

VERSION = "_skproj_state_version"

# Fitted attributes that `validate_data` sets.
DATA_ATTRIBUTES = {"n_features_in_", "feature_names_in_"}


def store_parameters(self, **parameters):
    """Store the parameters of an estimator, whose `__init__` passes ``**locals()``."""
    parameters.pop("__class__", None)  # there if the `__init__` calls `super`
    vars(self).update(parameters)


class VersionedState:
    """Mixin, on the left of `BaseEstimator`: saved estimators say how old they are.

    It is used by all that copies or saves through the pickle protocol: pickle, joblib,
    `copy.deepcopy`, skops.
    """

    # Functions of which the first turns a state of version 1, a dict, into one of
    # version 2, and so on; or dicts of what the older version has not. A change of
    # parameters or fitted attributes needs another.
    _state_migrations = ()
    # Names of all the attributes that a fit sets, for each kind of fit, without those
    # that describe the data; and of those that a fit may set.
    _fitted_attributes = ((),)
    _optional_attributes = ()

    def check_state(self):
        """Raise an error that names what is missing, and what no fit would have set.

        Attributes count as those of a fit if their names end with an underscore.
        """
        fitted = {name for name in vars(self) if name.endswith("_")}
        kinds = [{*names, "n_features_in_"} for names in self._fitted_attributes]
        missing = vars(type(self)()).keys() - vars(self).keys()
        if fitted - DATA_ATTRIBUTES:
            missing |= min(kinds, key=lambda kind: len(kind ^ fitted)) - fitted
        unknown = fitted.difference(*kinds, DATA_ATTRIBUTES, self._optional_attributes)
        faults = [
            f"{verb} {join_names(sorted(names))}"
            for verb, names in (("lacks", missing), ("has the unknown", unknown))
            if names
        ]
        if faults:
            raise ValueError(f"its {type(self).__name__} {' and '.join(faults)}")

    def _set_fitted(self, attributes):
        """Set the attributes of a fit in place of all those of an earlier fit."""
        others = {
            name: value
            for name, value in vars(self).items()
            if not name.endswith("_") or name in DATA_ATTRIBUTES
        }
        self.__dict__ = others | attributes

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
            state = {**migrate, **state} if type(migrate) is dict else migrate(state)
        super().__setstate__(state)
