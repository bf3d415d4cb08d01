"""A ridge regression on history and hour."""

from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler


def build(params) -> Pipeline:
    return make_pipeline(SimpleImputer(), StandardScaler(), Ridge(alpha=params.alpha, random_state=params.seed))
