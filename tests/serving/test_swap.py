"""Champions that change under load: nobody notices but the receipts."""

from __future__ import annotations

import time
from pathlib import Path

import httpx

from serving.payload.log import read
from tests.champions import point
from tests.serving.conftest import MODEL
from tests.serving.stack import Place, expected, running, wait_for
from tests.serving.test_transformer import under_load
from toolwear.release import champion as pointer

SWAPS = 20


def test_twenty_swaps_under_load_cost_no_request_and_every_receipt_is_right(
    place: Place, tmp_path: Path
) -> None:
    """Version 3 takes eleven features instead of twelve: it must never get the others' rows."""
    place.point(0)
    known = {package.digest: expected(place.home, package, "07") for package in place.packages}
    versions = {package.digest: str(i + 1) for i, package in enumerate(place.packages)}
    before = len(read(place.home))
    seconds: list[float] = []
    with running(place, tmp_path) as stack:
        served = httpx.Client(base_url=stack.predictor.url)

        def now_served() -> str:
            metadata = served.get(f"/v2/models/{MODEL}").json()
            return str(metadata["parameters"]["sha256"])

        def swap() -> None:
            for number in range(1, SWAPS + 1):
                wanted = place.point(number % len(place.packages)).package_digest
                started = time.monotonic()
                wait_for(lambda wanted=wanted: now_served() == wanted)  # type: ignore[misc]
                seconds.append(time.monotonic() - started)
                time.sleep(0.05)

        answers = under_load(stack.transformer.url, swap)
        served.close()
    assert {answer.status_code for answer in answers} == {200}
    bodies = [answer.json() for answer in answers]
    for body in bodies:
        receipt = body["receipt"]
        assert body["predictions"][0]["probability"] == known[receipt["package_digest"]]
        assert receipt["version"] == versions[receipt["package_digest"]]
    assert {body["receipt"]["package_digest"] for body in bodies} == set(known)
    assert max(seconds) < 10
    # Stopped orderly, so the log has every answer, by the model that gave it.
    logged = read(place.home).iloc[before:].set_index("receipt_id")["package_digest"].to_dict()
    assert logged == {body["receipt"]["id"]: body["receipt"]["package_digest"] for body in bodies}
    assert all(path.suffix == ".parquet" for path in (place.home / "payloads").iterdir()), (
        "a file was left under way"
    )
    print(f"{len(answers)} answers, {SWAPS} swaps, the slowest took {max(seconds):.2f} s")


def test_a_champion_that_cannot_be_served_leaves_the_old_one_in_service(
    place: Place, tmp_path: Path
) -> None:
    place.point(0)
    with running(place, tmp_path) as stack, httpx.Client(base_url=stack.transformer.url) as client:
        good = pointer.read(place.home)
        assert good is not None
        broken = pointer.Champion(**{**vars(good), "package": "packages/gone", "version": "9"})
        point(place.home, broken)
        wait_for(lambda: "the old one stays" in stack.predictor.log.read_text())
        ask = {"instances": [{"run_id": "07"}]}
        body = client.post(f"/v1/models/{MODEL}:predict", json=ask).json()
        assert body["receipt"]["version"] == "1"
        place.point(1)

        def version() -> str:
            answer = client.post(f"/v1/models/{MODEL}:predict", json=ask).json()
            return str(answer["receipt"]["version"])

        wait_for(lambda: version() == "2")
