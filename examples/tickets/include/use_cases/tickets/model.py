"""A multinomial logistic regression; it is fitted on the teams' names."""

from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, QuantileTransformer, StandardScaler

NUMBERS = ["words", "attachments", "amount"]


def build(params) -> Pipeline:
    """An unfitted classifier."""
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["channel"]),
        (QuantileTransformer(n_quantiles=50, output_distribution="normal", random_state=params.seed), NUMBERS),
        remainder=make_pipeline(SimpleImputer(), StandardScaler()),
    )
    return make_pipeline(columns, LogisticRegression(C=params.c, max_iter=500))
