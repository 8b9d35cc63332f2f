"""The clients: `Client().predict_run("07").predictions[0].verdict`, and the same to be awaited."""

from __future__ import annotations

import asyncio
import io
import os
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Concatenate, Self

import httpx

from toolwear.client.questions import Questions
from toolwear.client.sending import UNANSWERED, Pause, Send, Steps
from toolwear.common.loopback import by_proxy
from toolwear.common.ports import EXPLAINER, TRANSFORMER
from toolwear.common.request_limits import ROWS
from toolwear.workspace.tokens import VARIABLES, Scope

if TYPE_CHECKING:
    from toolwear.client.grpc_calls import Calls

_HOST = "http://127.0.0.1"
_SECONDS = 30.0
_RETRIES = 2
_PART_BYTES = 1 << 16  # of a file that is sent


class _Settings(ABC):
    """What both clients are made of.

    Args:
        url: of the transformer.
        explainer_url: of the explainer; on a cluster both are behind one address.
        model: name of the model.
        seconds: how long an answer may take.
        headers: for every request.
        label_token: for labels; by default $TOOLWEAR_LABEL_TOKEN.
        retries: how often a request is repeated, after 0.2 s and longer pauses, or as the service
            says, if the service cannot answer now. Predictions carry a key then, so that they
            are recorded once; labels are not repeated.
        most_rows: of one request; fewer are answered sooner.
        grpc: host and port where the transformer takes gRPC, or grpcs://host:port for TLS: by it
            `predict_rows` then asks, by KServe's V2 protocol. It needs `toolwear[full]`.

    Raises:
        ImportError: gRPC is asked for, and what it needs is not installed.
    """

    def __init__(
        self,
        url: str = f"{_HOST}:{TRANSFORMER}",
        explainer_url: str = f"{_HOST}:{EXPLAINER}",
        model: str = "toolwear",
        seconds: float = _SECONDS,
        headers: Mapping[str, str] | None = None,
        label_token: str = "",
        retries: int = _RETRIES,
        most_rows: int = ROWS,
        grpc: str = "",
    ) -> None:
        token = (label_token or os.environ.get(VARIABLES[Scope.LABEL], "")).strip()
        self._questions = Questions(
            url.rstrip("/"),
            explainer_url.rstrip("/"),
            model,
            {"authorization": f"Bearer {token}"} if token else {},
            retries,
            most_rows,
        )
        proxy = by_proxy(url) or by_proxy(explainer_url)
        self._connect({"timeout": seconds, "headers": dict(headers or {}), "trust_env": proxy})
        self._calls = self._calling(grpc, model, seconds, headers or {}) if grpc else None

    @abstractmethod
    def _connect(self, options: Mapping[str, Any]) -> None:
        """Make the connections; with httpx's options."""

    def _calling(
        self, address: str, model: str, seconds: float, headers: Mapping[str, str]
    ) -> Calls:
        try:
            from toolwear.client.grpc_calls import Calls
        except ModuleNotFoundError as error:
            raise ImportError(
                f"gRPC needs {error.name}, which is not here; install toolwear[full]."
            ) from error
        return Calls(address, model, seconds, headers, isinstance(self, AsyncClient))


def _at_once[**P, T](
    question: Callable[Concatenate[Questions, P], Steps[T]],
) -> Callable[Concatenate[Client, P], T]:
    @wraps(question)
    def asked(client: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return client._work(question(client._questions, *args, **kwargs))

    return asked


def _awaited[**P, T](
    question: Callable[Concatenate[Questions, P], Steps[T]],
) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]:
    @wraps(question)
    async def asked(client: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await client._work(question(client._questions, *args, **kwargs))

    return asked


@contextmanager
def _opened(content: bytes | Path | None) -> Iterator[bytes | BinaryIO | None]:
    if isinstance(content, Path):
        with content.open("rb") as stream:
            yield stream
    else:
        yield content


async def _parts(stream: BinaryIO) -> AsyncIterator[bytes]:
    while part := await asyncio.to_thread(stream.read, _PART_BYTES):
        yield part


class Client(_Settings):
    """Talks to the service; use it as a context manager, or close it. Threads may share it.

    What it can be asked, and what that raises, is told at `Questions`.
    """

    def _connect(self, options: Mapping[str, Any]) -> None:
        self._http = httpx.Client(**options)

    predict_rows = _at_once(Questions.predict_rows)
    predict_run = _at_once(Questions.predict_run)
    score = _at_once(Questions.score)
    explain = _at_once(Questions.explain)
    label = _at_once(Questions.label)
    metadata = _at_once(Questions.metadata)
    ready = _at_once(Questions.ready)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()
        if self._calls is not None:
            self._calls.channel.close()

    def _sent(self, send: Send) -> httpx.Response:
        if send.rows is not None and self._calls is not None:
            return self._calls.infer(send.rows, send.headers)
        with _opened(send.content) as content:
            return self._http.request(send.method, send.url, content=content, **send.options)

    def _work[T](self, steps: Steps[T]) -> T:
        try:
            step = next(steps)
            while True:
                if isinstance(step, Pause):
                    time.sleep(step.seconds)
                    step = steps.send(None)
                    continue
                try:
                    response = self._sent(step)
                except UNANSWERED as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(response)
        except StopIteration as end:
            found: T = end.value
            return found


class AsyncClient(_Settings):
    """The same, to be awaited: `async with AsyncClient() as client: await client.ready()`."""

    def _connect(self, options: Mapping[str, Any]) -> None:
        self._http = httpx.AsyncClient(**options)

    predict_rows = _awaited(Questions.predict_rows)
    predict_run = _awaited(Questions.predict_run)
    score = _awaited(Questions.score)
    explain = _awaited(Questions.explain)
    label = _awaited(Questions.label)
    metadata = _awaited(Questions.metadata)
    ready = _awaited(Questions.ready)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()
        if self._calls is not None:
            await self._calls.channel.close()

    async def _sent(self, send: Send) -> httpx.Response:
        if send.rows is not None and self._calls is not None:
            return await self._calls.infer_later(send.rows, send.headers)
        with _opened(send.content) as content:
            parts = _parts(content) if isinstance(content, io.IOBase) else content
            return await self._http.request(send.method, send.url, content=parts, **send.options)

    async def _work[T](self, steps: Steps[T]) -> T:
        try:
            step = next(steps)
            while True:
                if isinstance(step, Pause):
                    await asyncio.sleep(step.seconds)
                    step = steps.send(None)
                    continue
                try:
                    response = await self._sent(step)
                except UNANSWERED as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(response)
        except StopIteration as end:
            found: T = end.value
            return found
