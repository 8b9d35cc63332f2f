"""What the search is asked to do, as it travels to the interpreter that has auto-sklearn."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path

from toolwear.automl.space import MINIMUM_MEMORY_MB, MINIMUM_SECONDS
from toolwear.common import jsonfile
from toolwear.common.errors import ToolwearError


@dataclass(frozen=True)
class Request:
    """The arguments of the step; paths are absolute.

    Attributes:
        features: artifact of the features step.
        split: artifact of the split step.
        output: folder to write.
        scratch: folder for auto-sklearn's own files, removed when the step ends.
        seed: of everything that draws at random.
        seconds: budget of the main search.
        evaluations: budget of each search in evaluations, for repeatable runs; 0: by time.
        memory_mb: memory limit of one search, MiB.
        cores: processes that may compute at a time.
        dask: address of a Dask scheduler whose workers make the main search's evaluations, each
            with all of `memory_mb`; they need auto-sklearn and see `scratch`; empty: none.
        outer_folds: parts into which runs, and settings, are shared out; each is held out by a
            search of its own. 0: each run is a part; 1: a single run is held out.
        outer_seconds: budget of each of those.

    Raises:
        ToolwearError: a value is out of range.
    """

    features: Path
    split: Path
    output: Path
    scratch: Path
    seed: int
    seconds: int
    evaluations: int
    memory_mb: int
    cores: int
    dask: str
    outer_folds: int
    outer_seconds: int

    def __post_init__(self) -> None:
        for name in ("seed", "evaluations", "outer_folds"):
            if getattr(self, name) < 0:
                raise ToolwearError(f"The search's {name} must be 0 or more; raise it.")
        if self.evaluations == 1:
            raise ToolwearError(
                "A search of 1 evaluation has nothing to choose from; raise evaluations to 2 or "
                "more, or to 0 for a search by time."
            )
        if self.cores < 1:
            raise ToolwearError("The search needs at least 1 core; raise cores.")
        if not self.evaluations:
            for name in ("seconds", "outer_seconds"):
                if getattr(self, name) < MINIMUM_SECONDS:
                    raise ToolwearError(
                        f"A search of {getattr(self, name)} s ends before its first evaluation; "
                        f"raise {name} to {MINIMUM_SECONDS} or more."
                    )
        if self.memory_mb // self.jobs < MINIMUM_MEMORY_MB:
            raise ToolwearError(
                f"{self.memory_mb} MiB for {self.jobs} evaluation(s) at a time is too little; "
                f"raise memory_mb to {MINIMUM_MEMORY_MB * self.jobs} or more."
            )

    @property
    def concurrent(self) -> bool:
        """Whether the outer searches run beside the main one: never in a repeatable run."""
        return self.cores > 1 and not self.evaluations

    @property
    def jobs(self) -> int:
        """Evaluations that the main search runs at a time on this machine."""
        return self.cores - 1 if self.concurrent and not self.dask else 1

    def write(self, path: Path) -> None:
        """Write the request as JSON."""
        values = asdict(self)
        jsonfile.write(path, {k: str(v) if isinstance(v, Path) else v for k, v in values.items()})

    @classmethod
    def read(cls, path: Path) -> Request:
        """Read a request that `write` has written."""
        values = jsonfile.read(path)
        for field in fields(cls):
            if field.type == "Path":
                values[field.name] = Path(values[field.name])
        return cls(**values)
