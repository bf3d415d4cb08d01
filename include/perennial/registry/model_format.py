"""Checks that a stored model is of the one form that training writes, which cannot run code when it is loaded."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from perennial.errors import PerennialError
from perennial.settings import settings

if TYPE_CHECKING:
    from perennial.use_case import UseCase

#: Types that skops does not know and that hold data only; a use case may add its own.
SAFE_TYPES = ("numpy.dtype", "sklearn.utils._bunch.Bunch")
#: The file that holds the estimator.
ESTIMATOR = "model.skops"
#: Module -> package of what every model needs.
_REQUIRED = {"sklearn": "scikit-learn", "skops": "skops", "pandas": "pandas", "numpy": "numpy", "mlflow": "mlflow"}
#: Files that every model has, and those of its input example.
_FILES = frozenset({"MLmodel", ESTIMATOR, "requirements.txt", "conda.yaml", "python_env.yaml"})
_EXAMPLE = frozenset({"input_example.json", "serving_input_example.json"})
#: What `MLmodel` may say, where it names code or files. A key that is not here is refused.
_DESCRIPTION = frozenset(
    {
        *("artifact_path", "flavors", "is_signature_from_type_hint", "mlflow_version", "model_id", "model_size_bytes"),
        *("model_uuid", "prompts", "run_id", "saved_input_example_info", "signature", "type_hint_from_example"),
        "utc_time_created",
    }
)
_PYFUNC: Mapping[str, tuple[Any, ...]] = {
    "loader_module": ("mlflow.sklearn",),
    "model_path": (ESTIMATOR,),
    "predict_fn": ("predict", "predict_proba"),
    "env": ({"conda": "conda.yaml", "virtualenv": "python_env.yaml"},),
}
_SKLEARN: Mapping[str, tuple[Any, ...]] = {
    "pickled_model": (ESTIMATOR,),
    "serialization_format": ("skops",),
    "code": (None,),
}
_SAVED_EXAMPLE: Mapping[str, tuple[Any, ...]] = {
    "artifact_path": ("input_example.json",),
    "serving_input_path": ("serving_input_example.json",),
    "type": ("dataframe",),
}


def trusted_types(use_case: UseCase) -> set[str]:
    """The types outside skops' own list that a model of this use case may hold."""
    return {*SAFE_TYPES, *use_case.trusted_types}


def requirements(use_case: UseCase) -> list[str]:
    """The packages, with their versions here, that a model of this use case needs to be loaded.

    Beside scikit-learn's own they are those that `trusted_types` names types of, such as LightGBM.
    """
    modules = {name.partition(".")[0] for name in trusted_types(use_case)} - {"builtins", *sys.stdlib_module_names}
    owners = metadata.packages_distributions() if modules - _REQUIRED.keys() else {}
    others = {owners[name][0] for name in modules - _REQUIRED.keys() if name in owners}
    return [f"{name}=={metadata.version(name)}" for name in (*_REQUIRED.values(), *sorted(others))]


def check(use_case: UseCase, number: int, folder: Path) -> None:
    """Refuse a model that could run code when it is loaded, unless settings trust all models.

    Args:
        use_case: Its `trusted_types` are trusted beside skops' own.
        number: The version.
        folder: Its files.

    Raises:
        PerennialError: it is not stored as training stores models, or holds types that are not trusted.
    """
    if settings().trusted_model_types == "any":
        return
    try:
        described = yaml.safe_load((folder / "MLmodel").read_text(encoding="utf-8"))
        flavors = dict(described["flavors"])
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError) as error:
        raise _refused(use_case, number, f"has no readable MLmodel ({type(error).__name__})", "Train again") from error
    sklearn = flavors.get("sklearn") or {}
    check_flavor(use_case, number, sklearn)
    # A store may have kept a folder whose files are gone.
    names = {
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()
    }
    problems = [
        *(f"the file {name}" for name in sorted(names - _FILES - _EXAMPLE)),
        *(f"no file {name}" for name in sorted(_FILES - names)),
        *(f"{name!r} in MLmodel" for name in sorted(map(str, described.keys() - _DESCRIPTION))),
        *(f"the flavor {name}" for name in sorted(map(str, flavors.keys() - {"python_function", "sklearn"}))),
        *_different("python_function", flavors.get("python_function"), _PYFUNC, {"python_version"}),
        *_different("sklearn", sklearn, _SKLEARN, {"sklearn_version", "skops_trusted_types"}),
    ]
    if example := described.get("saved_input_example_info"):
        problems += _different("saved_input_example_info", example, _SAVED_EXAMPLE, {"pandas_orient"})
    if problems:
        what = f"is not stored as training stores models: it has {', '.join(problems[:5])}"
        raise _refused(use_case, number, what, "Restore its files in MLflow from a backup, or train again")


def check_flavor(use_case: UseCase, number: int, flavor: Mapping[str, Any]) -> None:
    """Refuse a model by what its description says of its format and its types.

    Args:
        use_case: Its `trusted_types` are trusted beside skops' own.
        number: The version.
        flavor: The part `sklearn` of the file MLmodel; empty where there is none.

    Raises:
        PerennialError: it is not stored as skops, or holds types that are not trusted.
    """
    stored_as = flavor.get("serialization_format", "something else than a scikit-learn model")
    if stored_as != "skops":
        raise _refused(use_case, number, f"is stored as {stored_as}", "Store models as skops, as training does")
    check_types(use_case, number, flavor.get("skops_trusted_types") or ())


def check_types(use_case: UseCase, number: int, types: Any) -> None:
    """Refuse a model that holds types which are not trusted.

    Args:
        use_case: Its `trusted_types` are trusted beside skops' own.
        number: The version.
        types: Those outside skops' own list that the model holds, or says that it holds.

    Raises:
        PerennialError: naming the types.
    """
    foreign = set(map(str, types)) - trusted_types(use_case)
    if foreign:
        where = f"include/use_cases/{use_case.name}/use_case.py"
        fix = f"If you trust these types, add them to trusted_types in {where}"
        raise _refused(use_case, number, f"holds types that are not trusted: {', '.join(sorted(foreign))}", fix)


def _different(part: str, given: Any, expected: Mapping[str, tuple[Any, ...]], free: set[str]) -> list[str]:
    """What a part of MLmodel says that training would not have written."""
    if not isinstance(given, dict):
        return [f"no {part} in MLmodel"]
    unknown = [f"{part}: {name!r} in MLmodel" for name in sorted(map(str, given.keys() - expected.keys() - free))]
    wrong = [name for name, allowed in expected.items() if name in given and given[name] not in allowed]
    absent = [name for name in expected if name not in given and expected[name] != (None,)]
    return [*unknown, *(f"{part}: {name}: {str(given.get(name))[:60]} in MLmodel" for name in (*wrong, *absent))]


def _refused(use_case: UseCase, number: int, what: str, fix: str) -> PerennialError:
    return PerennialError(
        f"Version {number} of model {use_case.name!r} {what}; loading it could run code.",
        f"{fix}; PERENNIAL_TRUSTED_MODEL_TYPES=any trusts whoever can write to the registry.",
    )
