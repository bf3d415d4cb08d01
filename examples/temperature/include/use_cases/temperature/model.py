"""A ridge regression in which each horizon has a level, and slopes for what was observed last, of its own."""

from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, PolynomialFeatures, StandardScaler

OBSERVED = ["temp_last", "temp_same_hour_last", "temp_mean_24h", "dewp_last", "pressure_last"]


def build(params) -> Pipeline:
    """An unfitted regressor. A linear one, because the next season is warmer or colder than all that was seen."""
    horizon = make_column_transformer((OneHotEncoder(), ["horizon_hours"]), (_scaled(), OBSERVED))
    by_horizon = make_pipeline(horizon, PolynomialFeatures(2, interaction_only=True, include_bias=False))
    columns = (OneHotEncoder(), ["hour"]), (by_horizon, ["horizon_hours", *OBSERVED])
    return make_pipeline(make_column_transformer(*columns, remainder=_scaled()), Ridge(alpha=params.alpha))


def _scaled() -> Pipeline:
    return make_pipeline(SimpleImputer(), StandardScaler())
