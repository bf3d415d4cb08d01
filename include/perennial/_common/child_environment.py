"""Builds the environment of child processes from a list of what they need, so that secrets stay in this process."""

from __future__ import annotations

import os

#: Where programs, libraries, certificates and temporary files are, and in which language and with how many threads.
_ALWAYS = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TERM", "NO_COLOR", "COLUMNS"),
        *("TMPDIR", "TEMP", "TMP", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    }
)
_ALWAYS_PREFIXES = ("LC_", "PYTHON", "OMP_", "KMP_", "GOMP_", "MKL_", "OPENBLAS_", "BLIS_", "NUMEXPR_", "MALLOC_")
#: For processes that read the lake, the feature store and MLflow.
STORES = (
    *("PERENNIAL_", "AWS_", "GOOGLE_", "AZURE_", "PYICEBERG_", "FEAST_"),
    *("MLFLOW_TRACKING_", "MLFLOW_S3_", "MLFLOW_HTTP_", "MLFLOW_DISABLE_", "MLFLOW_ENABLE_ARTIFACTS_"),
    *("PGHOST", "PGPORT", "PGUSER", "PGPASS", "PGSSL", "PGSERVICE"),
    *("REQUESTS_CA_", "CURL_CA_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
)
#: For processes that install packages.
PACKAGES = (
    *("PIP_", "UV_", "REQUESTS_CA_", "CURL_CA_"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
)
#: For git: which repository and whose configuration.
GIT = (
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_CEILING_DIRECTORIES", "GIT_DISCOVERY_ACROSS_FILESYSTEM"),
    *("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "XDG_CONFIG_HOME"),
)


def child_environment(*needed: str) -> dict[str, str]:
    """The variables of this process that a child process needs.

    Args:
        *needed: Beginnings of the names of variables, beside those that every program needs.
    """
    prefixes = (*_ALWAYS_PREFIXES, *needed)
    return {name: value for name, value in os.environ.items() if name in _ALWAYS or name.startswith(prefixes)}
