"""One model in service: everything that an answer is made of, so that it is swapped in one go."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from toolwear.common.errors import ToolwearError
from toolwear.model.abstention import Abstention
from toolwear.model.onnx_model import OnnxModel
from toolwear.model.package import Package

_TOLERANCE = 1e-9  # of a probability: the same graph on the same rows


def token(description: Mapping[str, Any]) -> str:
    """Return in a word which features a package's model is given: set, window and contract."""
    contract = json.dumps(description["dataset"], sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(contract.encode()).hexdigest()[:16]
    return f"{description['feature_set']}:{description['window']}:{digest}"


@dataclass(frozen=True, eq=False)
class Served:
    """A package, ready to answer.

    Attributes:
        package: the package.
        features: names of the model's columns.
        token: which features its rows hold; see `token`.
        onnx: the graph, loaded.
        abstention: when it is not sure.
        proof: which model this is; goes into every answer.
    """

    package: Package
    features: tuple[str, ...]
    token: str
    onnx: OnnxModel
    abstention: Abstention
    proof: dict[str, str]

    @classmethod
    def load(cls, package: Package, version: str = "") -> Served:
        """Load a package and let it answer its golden rows.

        Args:
            package: a checked package.
            version: its number in the registry; by default the package's short digest.

        Raises:
            ToolwearError: it does not give the answers that were evaluated.
        """
        description = package.description
        onnx = OnnxModel(package.model)
        golden = package.golden()
        found = onnx.predict_proba(golden.rows)
        if not np.allclose(found, golden.probabilities, rtol=0, atol=_TOLERANCE):
            raise ToolwearError(
                f"The package {package.version} answers its golden rows otherwise than evaluated; "
                "register the model again on a machine like this one."
            )
        return cls(
            package=package,
            features=package.features,
            token=token(description),
            onnx=onnx,
            abstention=Abstention.of(
                package.features, description["abstention"], description["envelope"]
            ),
            proof={
                "use": description["use"],
                "version": version or package.version,
                "package_digest": package.digest,
                "model_sha256": package.model_sha256,
                "data_digest": description["data_digest"],
                "commit": description["commit"],
            },
        )
