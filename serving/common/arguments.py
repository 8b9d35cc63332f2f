"""The options that every server has. Imports nothing heavy: a wrong option is told at once."""

from __future__ import annotations

import argparse

from toolwear.release.registry import CANDIDATE, CHAMPION

LOOPBACK = "127.0.0.1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that every server has."""
    parser.add_argument("--model_name", default="toolwear", help="name in the URL")
    parser.add_argument("--host", default=LOOPBACK, help="address; 0.0.0.0 in a container")
    parser.add_argument("--http_port", type=int, default=8080)
    parser.add_argument("--grpc_port", type=int, default=None, help="by default no gRPC")
    parser.add_argument("--access_log", action="store_true", help="one line per request")


def add_follow(parser: argparse.ArgumentParser) -> None:
    """Add the option of servers that follow a pointer of the home."""
    parser.add_argument(
        "--follow",
        choices=(CHAMPION, CANDIDATE),
        default=CHAMPION,
        help="whose pointer in the home to follow",
    )
