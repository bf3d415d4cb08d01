"""The software bill of materials of a training, in CycloneDX's form and by CycloneDX's own library.

It is of the environment that the training recorded, not of today's. What was not recorded (licences, digests of the
packages, which of them needs which) is not in it.
"""

from __future__ import annotations

import hashlib
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.model import Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from perennial.dossier.documents import Training
from perennial.dossier.manifest import as_bytes


def render(use_case: str, training: Training, environment: dict[str, Any]) -> bytes:
    """The bill of materials as JSON (CycloneDX 1.6); its time is the beginning of the training.

    Every package is listed as needed by the model: which of them needs which is not recorded.

    Args:
        use_case: Name of the use case.
        training: Of the version.
        environment: As the training recorded it: Python, platform, packages.
    """
    model = Component(
        bom_ref="model",
        name=use_case,
        version=str(training.version),
        type=ComponentType.MACHINE_LEARNING_MODEL,
        properties=[Property(name=f"perennial:file:{name}", value=value) for name, value in training.digests.items()],
    )
    parts = [_python(environment), *(_package(*each) for each in sorted(environment.get("packages", {}).items()))]
    content = hashlib.sha256(as_bytes([training.run_id, environment])).hexdigest()
    metadata = BomMetaData(component=model, timestamp=training.run.started if training.run else None)
    bom = Bom(components=parts, metadata=metadata, serial_number=uuid5(NAMESPACE_URL, f"perennial:{content}"))
    bom.register_dependency(model, parts)
    return (JsonV1Dot6(bom).output_as_string(indent=1) + "\n").encode()


def _python(environment: dict[str, Any]) -> Component:
    told = {name: environment.get(name) for name in ("platform", "processor", "lock")}
    return Component(
        bom_ref="python",
        name="python",
        version=environment.get("python"),
        type=ComponentType.PLATFORM,
        properties=[Property(name=f"perennial:{name}", value=str(value)) for name, value in told.items() if value],
    )


def _package(name: str, version: str) -> Component:
    address = PackageURL("pypi", name=name, version=version)
    return Component(bom_ref=address.to_string(), name=name, version=version, purl=address)
