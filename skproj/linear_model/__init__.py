"""Linear models: the engine of the feature selectors, and a model of survival times."""

from skproj.linear_model._cox_ridge import CoxRidge

__all__ = ["CoxRidge"]
