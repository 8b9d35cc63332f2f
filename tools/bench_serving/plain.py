"""The least that serves the model over HTTP: no checks, no metrics, no proof of the model.

`python -m tools.bench_serving.plain MODEL PORT`
"""

from __future__ import annotations

import sys

import numpy as np
import orjson
import uvicorn
from fastapi import FastAPI, Request, Response

from toolwear.model.onnx_model import OnnxModel

PATH = "/predict"


def application(model: OnnxModel) -> FastAPI:
    """Return an application with the one endpoint."""
    app = FastAPI()

    @app.get("/ready")
    def ready() -> bool:
        return True

    @app.post(PATH)
    async def predict(request: Request) -> Response:
        rows = np.array(orjson.loads(await request.body())["instances"], dtype=np.float64)
        found = model.predict_proba(rows)
        body = orjson.dumps({"probabilities": found}, option=orjson.OPT_SERIALIZE_NUMPY)
        return Response(body, media_type="application/json")

    return app


if __name__ == "__main__":
    uvicorn.run(
        application(OnnxModel(sys.argv[1])),
        host="127.0.0.1",
        port=int(sys.argv[2]),
        access_log=False,
        log_level="warning",
    )
