"""The container images of the steps, named once. CI hands in the digests that it has built.

Kept to the standard library: component files import it at module level.
"""

from __future__ import annotations

import os

# Everything but AutoML: Python 3.12 with requirements/main.txt.
PIPELINE = os.environ.get("TOOLWEAR_PIPELINE_IMAGE", "toolwear/pipeline:dev")
# auto-sklearn: Python 3.9 with requirements/automl.txt.
AUTOML = os.environ.get("TOOLWEAR_AUTOML_IMAGE", "toolwear/automl:dev")
# Predictor, transformer and explainer: Python 3.12 with requirements/serving.txt.
SERVING = os.environ.get("TOOLWEAR_SERVING_IMAGE", "toolwear/serving:dev")

# Label with the digest of the code inside, so that nobody runs an image of other code unawares.
CODE_LABEL = "toolwear.code"
