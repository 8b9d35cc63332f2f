"""One model and all that explaining it takes, so that it is swapped in one go."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from serving.common.features import FeatureSpec
from serving.common.refusal import Refusal
from serving.common.rows import RawColumns
from toolwear.common.errors import ToolwearError
from toolwear.explain.methods.subject import Envelope, Predict, Subject
from toolwear.explain.registry import DEFAULT_SEED, METHODS, SHAP, Task
from toolwear.model.package import Package
from toolwear.model.served import Served

# In standard deviations of the background; beyond it LIME's and ICE's arithmetic ends in
# infinities, and there is nothing to compare the row with.
_FARTHEST = 1e6
_WARM_UP_ROWS = 40


@dataclass(frozen=True, eq=False)
class Explained:
    """A package, ready to be explained.

    Attributes:
        served: the model as the predictor loads it, golden rows checked.
        spec: the features that it needs.
        subject: the model with the package's background rows.
        background_worn: P(worn) of the background rows.
        raw: the columns of a raw row.
        kept: explanations of the model as a whole, by method; the same question has the same
            answer, so those by the default seed are computed once.
    """

    served: Served
    spec: FeatureSpec
    subject: Subject
    background_worn: np.ndarray
    raw: RawColumns
    kept: dict[str, Envelope] = field(default_factory=dict)

    @classmethod
    def load(cls, package: Package, version: str = "") -> Explained:
        """Load a package.

        Args:
            package: a checked package.
            version: its number in the registry; by default the package's short digest.

        Raises:
            ToolwearError: it cannot be served, or its features are not this code's.
        """
        served = Served.load(package, version)
        spec = FeatureSpec.of_package(package.description)
        if spec.columns != package.features:
            raise ToolwearError(
                f"The package {package.version} needs other features than this version computes; "
                "explain it with the version that registered it."
            )
        background = package.reference()["X"]
        subject = Subject(
            served.onnx.worn, background, package.features, model_sha256=package.model_sha256
        )
        return cls(served, spec, subject, served.onnx.worn(background), RawColumns.of(spec.dataset))

    def task(
        self, predict: Predict, seed: int, row: np.ndarray | None, samples: int | None
    ) -> Task:
        """Return a question about this model, asked through `predict`."""
        subject = replace(self.subject, predict=predict, seed=seed)
        return Task(subject, self.background_worn, row, samples)

    def check(self, row: np.ndarray) -> None:
        """Check that the model's answer to a row (1, features) can be explained.

        Raises:
            Refusal: it is too far from the background, or the model has no answer.
        """
        background = self.subject.background
        spread = background.std(axis=0)
        with np.errstate(over="ignore"):
            distance = np.abs(row[0] - background.mean(axis=0)) / np.where(spread > 0, spread, 1)
        far = int(distance.argmax())
        if not distance[far] <= _FARTHEST:
            raise Refusal(
                "undefined",
                f"{self.spec.columns[far]} is {row[0, far]:g}, too far from every row that the "
                "model is explained against.",
                422,
            )
        if not np.isfinite(self.served.onnx.worn(row)).all():
            raise Refusal("undefined", "The model has no answer for these values.", 422)

    def warm_up(self) -> None:
        """Run every method once, for their libraries take seconds at the first call.

        The local ones but SHAP on a rule in the model's place, which is as good for that and
        costs nothing.
        """
        rows = self.subject.background[:_WARM_UP_ROWS]
        middle = float(np.median(rows[:, 0]))
        rule = Subject(
            lambda asked: np.where(asked[:, 0] > middle, 0.9, 0.1), rows, self.subject.names
        )
        for name, method in METHODS.items():
            if method.whole:
                whole = self.task(self.served.onnx.worn, DEFAULT_SEED, None, None)
                self.kept[name] = method.run(whole)
            else:
                method.run(Task(rule, rule.predict(rows), rows[:1]))
        METHODS[SHAP].run(Task(self.subject, self.background_worn, rows[:1]))
