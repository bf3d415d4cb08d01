"""The estimator of the flights use case."""

from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from use_cases.flights.use_case import FlightsParams


def build(params: FlightsParams) -> Pipeline:
    """An unfitted classifier of "arrives 15 minutes late or more", for a DataFrame of the features.

    All preprocessing is inside: text becomes ordinal codes learnt in the fit, -1 for a value that is missing or was not
    seen there; missing numbers need no filling. The same params, seed and rows give the same model.
    """
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-1)
    columns = (codes, ["carrier", "origin", "dest"])
    encode = make_column_transformer(columns, remainder="passthrough", verbose_feature_names_out=False)
    boost = HistGradientBoostingClassifier(
        max_iter=params.max_iter,
        learning_rate=params.learning_rate,
        max_leaf_nodes=params.max_leaf_nodes,
        early_stopping=False,
        random_state=params.seed,
    )
    return make_pipeline(encode, boost)
