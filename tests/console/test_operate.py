"""Changing something from the browser: sign in, retrain, cancel, approve, roll back."""

from __future__ import annotations

import re
import time
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from serving.console.session import COOKIE
from serving.http.gate import FREE
from tests.console.browser import fill
from tests.console.stack import Stack
from toolwear.common import jsonfile
from toolwear.release import approvals, audit_log
from toolwear.release import champion as pointer
from toolwear.release.registry import Registry
from toolwear.release.registry_state import MODEL_NAME
from toolwear.release.rollout import Mode
from toolwear.run.config import FAST
from toolwear.workspace.home import Home
from toolwear.workspace.tokens import Scope, Tokens

NAME = "Grace Müller-Hopper"
_RUN_MS = 600_000  # of a busy machine; half a minute of a quiet one


SIGNED = {"name": NAME}


def token(stack: Stack) -> str:
    return Tokens(Home.at(stack.home)).own(Scope.OPERATE)


def enter(page: Page, given: str) -> None:
    page.get_by_label("Your name").fill(NAME)
    page.get_by_label("The operator's token").fill(given)
    page.get_by_role("button", name="Sign in").click()


def sign_in(page: Page, stack: Stack) -> None:
    page.goto(stack.url + "/operate")
    enter(page, token(stack))
    expect(page.get_by_text(f"You are signed in as {NAME}")).to_be_visible()


def started_with(stack: Stack, asked: str) -> dict[str, Any]:
    """Return the settings of a request's run, once it has written them."""
    deadline = time.monotonic() + 240
    while True:
        for attempt in httpx.get(f"{stack.of('trigger')}/runs/{asked}").json()["attempts"]:
            path = stack.home / attempt["name"] / "arguments.json"
            if path.exists():
                found: dict[str, Any] = jsonfile.read(path)
                return found
        assert time.monotonic() < deadline, "the run did not begin"
        time.sleep(0.5)


def champion(stack: Stack) -> str:
    pointed = pointer.read(stack.home)
    assert pointed is not None
    return pointed.version


def test_without_the_token_there_is_nothing_to_press(page: Page, stack: Stack) -> None:
    page.goto(stack.url + "/operate")
    for name in ("Start a run", "Roll back", "Approve", "Refuse"):
        assert page.get_by_role("button", name=name).count() == 0
    enter(page, "not-the-operators-token")
    expect(page.locator("#fault")).to_contain_text("not the operator's token")
    assert page.context.cookies() == []


@pytest.mark.timeout(900)
def test_from_a_click_to_a_new_version_then_a_decision_then_back(page: Page, stack: Stack) -> None:
    """The run is a real one of the whole graph; what it registers is held, allowed, undone."""
    versions = Registry(Home.at(stack.home), "", MODEL_NAME)
    before = champion(stack)
    sign_in(page, stack)
    assert page.get_by_role("button", name="Roll back").count() == 0, "there is nothing before it"
    page.get_by_label("Reason").first.fill("a click in the console")
    shown = httpx.get(stack.of("trigger") + "/retrain").json()["parameters"]
    assert page.get_by_label("Search, seconds", exact=True).input_value() == str(
        shown["search_seconds"]
    )
    page.get_by_label("Explained predictions").fill("2")
    page.get_by_label("Seed").fill("7")  # with the champion's the search may find the same model
    page.get_by_role("button", name="Start a run").click()
    page.wait_for_url(re.compile(r"/asked/\d+"))
    expect(page.locator("#content")).to_contain_text("a click in the console")
    expect(page.get_by_role("row", name=re.compile("^validate"))).to_be_visible(timeout=_RUN_MS)
    expect(page.locator(".ended")).to_contain_text("succeeded", timeout=_RUN_MS)
    page.get_by_role("link", name=re.compile("^2.*Z")).click()
    expect(page.locator("#content")).to_contain_text(
        f"started by hand: a click in the console ({NAME})"
    )
    found = jsonfile.read(stack.home / page.url.rpartition("/")[2] / "arguments.json")
    assert (found["explain_rows"], found["seed"]) == (2, 7)
    assert found["search_seconds"] == shown["search_seconds"]
    new = str(max(int(v.version) for v in versions.client.search_model_versions()))
    assert new != before, audit_log.entries(Home.at(stack.home))[-1]

    approvals.hold(versions, versions.version(new), champion(stack), Mode.DIRECT, "it won", "test")
    held_against = champion(stack)
    page.goto(stack.url + "/operate")
    card = page.locator("form", has_text=f"Version {new}")
    card.get_by_label("Reason").fill("the errors are known")
    card.get_by_role("button", name="Approve").click()
    expect(page.get_by_role("status").first).to_contain_text(
        f"promote, from {held_against} to {new}", timeout=90_000
    )
    assert champion(stack) == new

    form = page.locator("form", has_text="Roll back")
    form.get_by_label("Reason").fill("it was noisy")
    form.get_by_role("button", name="Roll back").click()
    expect(page.get_by_role("status").first).to_contain_text(
        f"rollback, from {new} to {held_against}", timeout=90_000
    )
    assert champion(stack) == held_against
    last = audit_log.entries(Home.at(stack.home))[-1]
    assert (last["action"], last["why"]) == ("rollback", "it was noisy")
    assert last["who"] == f"{NAME} (operator, over HTTP)"

    approvals.hold(versions, versions.version(new), champion(stack), Mode.CANARY, "it won", "test")
    expect(page.locator("#content")).to_contain_text("No rollout is in progress")
    page.goto(stack.url + "/operate")
    card = page.locator("form", has_text=f"Version {new}")
    card.get_by_label("Reason").fill("a part of the traffic first")
    card.get_by_role("button", name="Approve").click()
    expect(page.locator("#content")).to_contain_text(
        f"Version {new} is rolled out as a canary, stage 1", timeout=90_000
    )
    assert champion(stack) == held_against
    page.locator("form", has_text="Roll back").get_by_label("Reason").fill("not today")
    page.get_by_role("button", name="Roll back").click()
    expect(page.locator("#content")).to_contain_text(
        f"The last one, version {new} as a canary", timeout=90_000
    )
    assert champion(stack) == held_against

    fill(page)
    results = Axe().run(page)
    grave = [v for v in results.response["violations"] if v["impact"] in ("serious", "critical")]
    assert grave == [], results.generate_report()


def test_a_session_that_has_ended_is_said_and_loses_nothing(page: Page, stack: Stack) -> None:
    tokens = Tokens(Home.at(stack.home))
    httpx.get(stack.of("trigger") + "/approvals", timeout=120)  # loads the registry at first
    page.goto(stack.url + "/operate")
    enter(page, tokens.make("grace", Scope.OPERATE))
    expect(page.get_by_text(f"You are signed in as {NAME}")).to_be_visible()
    before = len(httpx.get(stack.of("trigger") + "/runs").json()["runs"])
    page.get_by_label("Reason").first.fill("typed before the end")
    page.get_by_label("Search, seconds", exact=True).fill("45")
    tokens.revoke("grace")
    page.get_by_role("button", name="Start a run").click()
    expect(page.locator("#fault")).to_contain_text("session has ended")
    enter(page, token(stack))
    expect(page.get_by_label("Reason").first).to_have_value("typed before the end")
    expect(page.get_by_label("Search, seconds", exact=True)).to_have_value("45")
    assert len(httpx.get(stack.of("trigger") + "/runs").json()["runs"]) == before


def test_a_person_leaves(page: Page, stack: Stack) -> None:
    sign_in(page, stack)
    (kept,) = page.context.cookies()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    assert page.context.cookies() == []
    again = httpx.get(stack.url + "/operate", cookies={COOKIE: kept["value"]})
    assert "You are signed in" not in again.text


def test_a_cookie_does_not_outlive_the_console(stack: Stack) -> None:
    def shown() -> str:
        return httpx.get(stack.url + "/operate", cookies={COOKIE: cookie}).text

    answer = httpx.post(stack.url + "/operator", data=SIGNED | {"token": token(stack)})
    cookie = answer.cookies[COOKIE]
    assert "You are signed in" in shown()
    stack.kill("console")
    wait_up(stack.url)
    assert "You are signed in" not in shown()


def test_wrong_tokens_are_slowed_down(stack: Stack) -> None:
    def sign(given: str) -> httpx.Response:
        return httpx.post(stack.url + "/operator", data=SIGNED | {"token": given})

    assert sign(token(stack)).status_code == 303
    answers = [sign(f"wrong-{number}") for number in range(30)]
    slowed = [answer for answer in answers if answer.status_code == 429]
    # After the free ones each is let through after twice the time of the one before.
    assert len(slowed) >= 30 - FREE - 8
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in slowed)
    assert all("Too many wrong tokens" in answer.text for answer in slowed)
    assert sign(token(stack)).status_code == 303, "it was right from here before"


def wait_up(url: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            httpx.get(url + "/healthz")
        except httpx.TransportError:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        else:
            return


@pytest.mark.parametrize(
    "path",
    [
        "/retrain",
        "/rollback",
        "/approvals/x",
        "/asked/1/cancel",
        "/runs/x/retry",
        "/operator/leave",
    ],
)
def test_another_site_cannot_press_a_button(stack: Stack, path: str) -> None:
    with httpx.Client(base_url=stack.url) as client:
        assert client.post("/operator", data=SIGNED | {"token": token(stack)}).status_code == 303
        cookie = client.cookies[COOKIE]
        assert token(stack) not in cookie
        form = {"detail": "from elsewhere", "why": "from elsewhere", "decision": "allow"}
        before = len(client.get(stack.of("trigger") + "/runs").json()["runs"])
        for fields, headers in (
            (form, {}),
            ({**form, "csrf": "guessed"}, {}),
            ({**form, "csrf": cookie}, {}),
            (form, {"sec-fetch-site": "cross-site"}),
            (form, {"sec-fetch-site": "same-site"}),
        ):
            answer = client.post(path, data=fields, headers=headers)
            assert answer.status_code == 403, answer.text
        assert len(client.get(stack.of("trigger") + "/runs").json()["runs"]) == before
    assert httpx.post(stack.url + path, data=form).status_code == 401


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(stack: Stack) -> None:
    answer = httpx.post(stack.url + "/operator", data=SIGNED | {"token": token(stack)})
    said = answer.headers["set-cookie"].lower()
    assert "httponly" in said
    assert "samesite=strict" in said


def test_a_form_too_large_or_of_noise_gets_a_sentence(stack: Stack) -> None:
    answer = httpx.post(stack.url + "/retrain", content=b"detail=" + b"x" * 9000)
    assert (answer.status_code, "shorten it" in answer.text) == (413, True)
    answer = httpx.post(stack.url + "/retrain", content=b"&".join([b"a=1"] * 50))
    assert answer.status_code == 400


def test_a_name_that_is_not_ours_is_not_answered(stack: Stack) -> None:
    """A site that has its own name point at 127.0.0.1 reads nothing."""
    assert httpx.get(stack.url, headers={"host": "evil.example"}).status_code == 400


def test_without_the_trigger_the_page_says_so(page: Page, stack: Stack) -> None:
    sign_in(page, stack)
    with stack.paused("trigger"):
        page.goto(stack.url + "/operate")
        expect(page.locator("#content")).to_contain_text("The trigger does not answer")
        page.get_by_label("Reason").first.fill("nobody hears it")
        page.get_by_role("button", name="Start a run").click()
        expect(page.locator("#fault")).to_contain_text("The budgets of the run were not shown")
    page.goto(stack.url + "/operate")
    expect(page.locator("#content")).not_to_contain_text("does not answer")


def test_an_alias_moved_by_hand_is_said(page: Page, stack: Stack) -> None:
    registry = Registry(Home.at(stack.home), "", MODEL_NAME)
    served = champion(stack)
    registry.client.delete_registered_model_alias(MODEL_NAME, "champion")
    try:
        page.goto(stack.url + "/operate")
        said = f"none would start: champion.json names version {served} "
        expect(page.locator("#content")).to_contain_text(said)
        expect(page.locator("#content")).to_contain_text("the registry names none: ")
        expect(page.locator("#content")).to_contain_text("toolwear reconcile")
    finally:
        registry.client.set_registered_model_alias(MODEL_NAME, "champion", served)
    page.goto(stack.url + "/operate")
    expect(page.locator("#content")).not_to_contain_text("toolwear reconcile")


def test_a_refusal_of_the_trigger_is_said_as_it_is(page: Page, stack: Stack) -> None:
    page.goto(f"{stack.url}/asked/999999")
    expect(page.locator("#content")).to_contain_text("There is no run of this id")


def test_a_name_is_asked_for(stack: Stack) -> None:
    for name in ("", "  ", "x" * 65, "a\u202eb"):
        answer = httpx.post(stack.url + "/operator", data={"token": token(stack), "name": name})
        assert (answer.status_code, "Give your name" in answer.text) == (400, True), repr(name)


def test_a_short_search_is_started_and_cancelled(page: Page, stack: Stack) -> None:
    sign_in(page, stack)
    page.get_by_label("Reason").first.fill("only to try")
    page.get_by_label("a short search").check()
    page.get_by_label("Explained predictions").fill("9")  # not used: the short search has its own
    page.get_by_role("button", name="Start a run").click()
    page.wait_for_url(re.compile(r"/asked/\d+"))
    asked = page.url.rpartition("/")[2]
    expect(page.locator(".progress")).to_contain_text(f"started by hand: only to try ({NAME})")
    found = started_with(stack, asked)
    assert {name: found[name] for name in FAST} == FAST
    form = page.locator("#cancel")
    form.get_by_label("Reason").fill("it was a try")
    form.get_by_role("button", name="Cancel the run").click()
    expect(page.locator(".ended")).to_contain_text("cancelled", timeout=120_000)
    expect(form).to_be_hidden()
    page.goto(stack.url + "/operate")
    row = page.get_by_role("row", name=re.compile(f"^{asked} "))
    expect(row).to_contain_text("cancelled")
    assert row.get_by_role("link", name="cancel", exact=True).count() == 0
    # From the page of the run: once more, and an end to that as well.
    row.get_by_role("link", name=re.compile("^2.*Z")).click()
    ended = page.url.rpartition("/")[2]
    form = page.locator("#change")
    form.get_by_label("Reason").fill("now in earnest")
    form.get_by_role("button", name="Retry the run").click()
    page.wait_for_url(re.compile(rf"/asked/(?!{asked}$)\d+"))
    again = started_with(stack, page.url.rpartition("/")[2])
    assert again["cause"].startswith(f"on_demand: again after {ended}: now in earnest ({NAME})")
    own = ("cause", "accept_runs")
    assert {k: v for k, v in again.items() if k not in own} == {
        k: v for k, v in found.items() if k not in own
    }
    page.get_by_role("link", name=re.compile("^2.*Z")).click()
    expect(page).to_have_url(re.compile("/runs/"))
    form.get_by_label("Reason").fill("enough")
    form.get_by_role("button", name="Cancel the run").click()
    expect(page.locator(".ended")).to_contain_text("cancelled", timeout=120_000)
    page.get_by_role("link", name=re.compile("^2.*Z")).click()
    expect(page.locator("#content")).to_contain_text("Cancelled")
    cancelled = jsonfile.read(stack.home / page.url.rpartition("/")[2] / "cancel.json")
    assert cancelled["why"] == f"enough ({NAME})"
