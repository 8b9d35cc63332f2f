"""Starts the transformer: `python -m serving.transformer --home DIR --predictor_host HOST:PORT`."""

from __future__ import annotations

import argparse
import math
import os
import sys

from serving.common.arguments import LOOPBACK, add_arguments
from toolwear.common import ports
from toolwear.common.errors import EXIT_USAGE
from toolwear.common.private import keep_private
from toolwear.common.request_limits import SCORE_BYTES
from toolwear.workspace.home import Home
from toolwear.workspace.tokens import Scope, Tokens

PREDICTOR_SECONDS = 5.0
SCORE_VARIABLE = "SCORE_MIB"
_MOST_MIB = 4096


def main() -> int:
    """Serve until told to stop; return the exit code."""
    options = command_line().parse_args()
    place = Home.at(options.home)
    home = place.root
    keep_private(home)
    # Imported once the options are known to be right: these take seconds.
    from serving.common.features import FeatureSource, Freshness
    from serving.common.outages import SENTENCES
    from serving.common.server import Serving, serve
    from serving.common.written import Sent, Written
    from serving.http.gate import Gate
    from serving.payload.log import PayloadLog
    from serving.transformer import openapi
    from serving.transformer.hop import Hop
    from serving.transformer.model import Transformer

    if not home.is_dir():
        print(f"transformer: There is no folder {home}; give the home of a run.", file=sys.stderr)
        return EXIT_USAGE
    freshness = Freshness(options.max_age_seconds, options.stale)
    source = FeatureSource(home, freshness, options.store_timeout_seconds)
    source.open()
    host = options.predictor_host
    address = host if ":" in host else f"{host}:{ports.PREDICTOR_GRPC}"
    hop = Hop(address, options.model_name, options.predictor_request_timeout_seconds)
    log = PayloadLog(home)
    score_bytes = options.score_mib << 20
    model = Transformer(options.model_name, hop, source, log, home, not options.shadow, score_bytes)
    gate = Gate(Tokens(place))
    serve(
        [model],
        Serving(
            "transformer",
            options.host,
            options.http_port,
            options.grpc_port,
            options.access_log,
            failures=SENTENCES,
            written={openapi.LABELS_PATH: Written("labels", model.labels, gate, Scope.LABEL)},
            described=lambda: openapi.document(options.model_name, model.raw),
            sent={openapi.SCORE_ROUTE: Sent("score", model.score)},
            around=model.running,
        ),
    )
    return 0


def command_line() -> argparse.ArgumentParser:
    """Return the parser of the server's options."""
    parser = argparse.ArgumentParser(prog="serving.transformer", description=__doc__)
    parser.add_argument(
        "--home", default="", help="feature store and payload log (default: $TOOLWEAR_HOME)"
    )
    parser.add_argument(
        "--predictor_host",
        default=f"{LOOPBACK}:{ports.PREDICTOR_GRPC}",
        help="host and gRPC port of the predictor",
    )
    parser.add_argument(
        "--predictor_protocol", choices=["grpc-v2"], default="grpc-v2", help="the only one"
    )
    parser.add_argument(
        "--predictor_request_timeout_seconds",
        type=_positive,
        default=PREDICTOR_SECONDS,
        help="then the answer is 504",
    )
    parser.add_argument(
        "--store_timeout_seconds", type=_positive, default=2.0, help="then the answer is 504"
    )
    parser.add_argument(
        "--max_age_seconds", type=_positive, default=3600.0, help="how old features may be"
    )
    parser.add_argument(
        "--stale",
        choices=["flag", "refuse"],
        default="flag",
        help="what becomes of older ones: an answer that says so, or 422",
    )
    parser.add_argument(
        "--score_mib",
        type=_whole,
        default=os.environ.get(SCORE_VARIABLE, str(SCORE_BYTES >> 20)),
        help=f"MiB of a recording that is scored whole (default: ${SCORE_VARIABLE}, else 64)",
    )
    parser.add_argument(
        "--shadow", action="store_true", help="answer copies of requests: keep no payload log"
    )
    add_arguments(parser)
    return parser


def _positive(text: str) -> float:
    value = float(text)
    if not value > 0 or math.isinf(value):
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def _whole(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= _MOST_MIB:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1 to {_MOST_MIB}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
