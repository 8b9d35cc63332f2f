"""Import alibi's anchor search beside NumPy 2 and a current SHAP.

alibi stays at 0.9.4 because it is the newest release under the Apache licence: 0.9.5 and later are
under the Business Source License, which allows production use to non-profit education only. The
anchor search is the same in both. alibi's package imports all its explainers at once, two of
which do not load here: the SHAP wrappers (they expect shap < 0.44 and ray; we call shap itself)
and those for text (they need spaCy). Inert stand-ins take their places before the first import;
nothing in the installed package is changed.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from typing import Any


def anchor_tabular() -> Any:
    """Return the class `alibi.explainers.AnchorTabular`. The first call takes seconds."""
    if "alibi" not in sys.modules:
        if importlib.util.find_spec("spacy") is None:
            _stand_in("spacy", "load")
            _stand_in("spacy.util", "get_package_path")
            _stand_in("spacy.cli", "download", "link")
        _stand_in("alibi.explainers.shap_wrappers", "KernelShap", "TreeShap")
    from alibi.explainers import AnchorTabular

    return AnchorTabular


def _stand_in(name: str, *functions: str) -> None:
    module = types.ModuleType(name)
    for function in functions:
        setattr(module, function, _unavailable)
    sys.modules.setdefault(name, module)


def _unavailable(*_args: object, **_kwargs: object) -> None:
    raise ImportError("this part of alibi is not installed; see toolwear.explain.alibi_compat")
