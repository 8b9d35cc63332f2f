"""Makes a picture of every page, light and dark: `python -m tools.console.screenshots HOME`."""

from __future__ import annotations

import io
import sys
import tempfile
import time
from pathlib import Path
from typing import Literal

from PIL import Image

from tests.console.browser import PAGES, chromium, fill, open_page
from tests.console.stack import running
from toolwear.common.fingerprint import ROOT

FOLDER = ROOT / "docs" / "screenshots"
_MOST_BYTES = 300_000
_HIGHEST = 2600  # of a picture, in pixels
_ROUNDS = 15  # of traffic, so that the live plots have something to show
_SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


def pictures(url: str, folder: Path = FOLDER) -> None:
    """Write the pictures of the console that answers at `url`."""
    folder.mkdir(parents=True, exist_ok=True)
    with chromium() as browser:
        for scheme in _SCHEMES:
            page = open_page(browser, scheme)
            for name, path in PAGES.items():
                page.goto(url + path)
                fill(page)
                picture = page.screenshot(full_page=True)
                target = folder / f"{name}-{scheme}.png"
                target.write_bytes(_small(picture))
                print(f"{target.name}: {target.stat().st_size // 1000} kB")


def _small(picture: bytes) -> bytes:
    """Return the picture's top, with fewer colours if the file would be large."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    height = min(image.height, _HIGHEST)
    image = image.crop((0, 0, image.width, height))
    whole = _png(image)
    if len(whole) < _MOST_BYTES:
        return whole
    return _png(image.quantize(256, Image.Quantize.FASTOCTREE))


def _png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def main(home: Path) -> None:
    """Start everything over a home that has been trained, with some traffic, and take them."""
    with tempfile.TemporaryDirectory() as folder, running(home, Path(folder)) as stack:
        stack.start_prometheus()
        for _ in range(_ROUNDS):
            stack.traffic(36)
            time.sleep(2)
        pictures(stack.url)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
