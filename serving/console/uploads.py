"""Files that are sent to the console: of a bounded size, spooled to the disk, timed as a whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from serving.console.recordings import MOST_BYTES
from toolwear.common.errors import ToolwearError

UPLOAD_SECONDS = 30.0  # for a file to arrive
_FORM_BYTES = 64 << 10  # for the form's other fields
_NO_FILE = "Choose a CSV file of one run first."


async def read(request: Request) -> FormData:
    """Return the form, its file spooled to the disk; who is not done in time is not waited for.

    Raises:
        ToolwearError: it is no form, too large, or did not arrive.
    """
    size = 0

    async def bounded() -> AsyncGenerator[bytes, None]:
        nonlocal size
        async for chunk in request.stream():
            size += len(chunk)
            if size <= MOST_BYTES + _FORM_BYTES:
                yield chunk  # the rest is dropped: a browser reads no answer before its end
        if size > MOST_BYTES + _FORM_BYTES:
            raise ToolwearError(
                f"The file has more than {MOST_BYTES >> 20} MB; send one run, which has about one."
            )

    try:
        async with asyncio.timeout(UPLOAD_SECONDS):
            parser = MultiPartParser(request.headers, bounded(), max_files=1, max_fields=4)
            return await parser.parse()
    except (MultiPartException, KeyError):
        raise ToolwearError(_NO_FILE) from None
    except (TimeoutError, ClientDisconnect):
        raise ToolwearError(
            f"The file did not arrive within {UPLOAD_SECONDS:.0f} s; send it again."
        ) from None


def file_of(form: FormData) -> UploadFile:
    """Return the form's file.

    Raises:
        ToolwearError: there is none.
    """
    file = form.get("file")
    if file is None or isinstance(file, str) or not file.filename:
        raise ToolwearError(_NO_FILE)
    return file
