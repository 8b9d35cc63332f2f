"""The console in a real browser, against the real servers with a real trained model."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from datasets.cnc_mill import names as mill
from serving.payload import log as payload_log
from tests.console.browser import PAGES, fill, open_page, unfold
from tests.console.stack import Stack
from toolwear.common import words
from toolwear.dataset import schema
from toolwear.model.abstention import Abstention
from toolwear.model.onnx_model import OnnxModel
from toolwear.release import champion as pointer

RUN = "02"
STALE = "section[aria-label=ToolwearFeaturesStale]"


def visit(page: Page, stack: Stack, path: str) -> None:
    """Open a page and wait for all of its parts."""
    answer = page.goto(stack.url + path)
    assert answer is not None
    assert answer.status == 200
    fill(page)


def recording(real_data: Path, number: int = 2) -> bytes:
    return (real_data / f"experiment_{number:02d}.csv").read_bytes()


def upload(
    page: Page, stack: Stack, content: bytes, name: str = "run.csv", feedrate: str = "20"
) -> None:
    page.goto(stack.url + "/")
    page.locator("#file").set_input_files({"name": name, "mimeType": "text/csv", "buffer": content})
    page.get_by_role("textbox", name="Feed rate").fill(feedrate)
    page.get_by_role("textbox", name="Clamp pressure").fill("4")
    page.get_by_role("button", name="Judge the file").click()


def summary(stack: Stack) -> dict:
    return json.loads((stack.home / "latest" / "summary.json").read_text())


def older_run(stack: Stack) -> str:
    """Make a second run with what the first has found; return its name."""
    run = (stack.home / "latest").resolve()
    folder = stack.home / "20200101T000000Z-aaaaaa"
    if not folder.exists():
        folder.mkdir()
        shutil.copy(run / "summary.json", folder)
        arguments = json.loads((run / "arguments.json").read_text())
        (folder / "arguments.json").write_text(json.dumps({**arguments, "seed": 41}))
        (folder / "artifacts").symlink_to(run / "artifacts")
    return folder.name


def test_home_shows_what_the_served_model_says_along_a_run(
    page: Page, stack: Stack, features: Path
) -> None:
    visit(page, stack, f"/?run={RUN}")
    # Beside the service: the champion's graph and thresholds on the features of the run's layers.
    _, package = pointer.read_package(stack.home)
    parts = pd.read_parquet(features / "training_set")
    rows = parts[(parts[schema.RUN_ID] == RUN) & parts[schema.IS_ACTIVE]]
    X = rows[list(package.features)].to_numpy(dtype=np.float64)
    rule = Abstention.of(
        package.features, package.description["abstention"], package.description["envelope"]
    )
    worn = OnnxModel(package.model).worn(X)
    unsure = rule.in_band(worn) | rule.outside(X).any(axis=1)
    said = Counter(np.where(unsure, "not sure", np.where(worn > 0.5, "worn", "unworn")).tolist())
    text = page.locator("#content").inner_text()
    assert f"of the {len(rows):,} rows of the machining layers" in text
    for answer in ("worn", "unworn", "not sure"):
        assert f"{answer} in {said[answer] / len(rows):.1%}" in text
    assert "An inspector found the tool unworn" in text
    assert page.get_by_role("img", name="Verdicts along run 02").is_visible()
    assert page.get_by_role("img", name="spindle power along run 02").is_visible()
    strip = page.locator(".strip").inner_text()
    assert "version 1" in strip
    assert "predictor up" in strip
    assert "not monitored; start make watch" in strip
    assert "not judged yet" in strip, "no window is full"
    assert "succeeded" in strip


def test_another_run_is_picked_with_the_keyboard_alone(page: Page, stack: Stack) -> None:
    visit(page, stack, f"/?run={RUN}")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.locator("#run").focus()
    page.keyboard.press("ArrowDown")
    page.wait_for_url(re.compile(r"run=03"))
    expect(page.locator("#verdict")).to_contain_text("Run 03")


def test_an_uploaded_file_is_judged_as_the_recorded_run_and_not_kept(
    page: Page, stack: Stack, real_data: Path
) -> None:
    visit(page, stack, f"/?run={RUN}")
    recorded = page.locator("section[aria-labelledby=verdict] > p").first.inner_text()
    before = len(payload_log.read(stack.home))
    upload(page, stack, recording(real_data), "my <run>.csv")
    expect(page.locator("#verdict")).to_contain_text(
        "my <run>.csv feed rate 20 mm/s, clamp pressure 4 bar"
    )
    assert page.get_by_text("Check the settings").count() == 0
    expect(page.get_by_role("textbox", name="Feed rate")).to_have_value("20")
    uploaded = page.locator("section[aria-labelledby=verdict] > p").first.inner_text()
    why = page.locator("section[aria-labelledby=verdict]")
    expect(why).to_contain_text("Why: the row that looks most worn")
    assert why.locator("ul").first.locator("li").count() == 3
    expect(why.get_by_role("region", name=re.compile("^SHAP"))).to_contain_text("P(worn) is")
    assert uploaded.split(".Model")[0].split(". Model")[0] == recorded.split(". An inspector")[0]
    assert len(payload_log.read(stack.home)) == before
    visit(page, stack, "/")
    assert "my <run>.csv" not in page.locator("#content").inner_text()


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("empty", "The file is empty"),
        ("binary", "is not text; export it again"),
        ("columns", "lacks the column 'X1_ActualPosition' and 47 more"),
        ("formula", "'=SUM(A1:A9)' in column 'X1_ActualPosition' is not a number"),
        ("formula phase", "column Machining_Process, which is a formula"),
        ("gap", "column X1_ActualPosition"),
        ("cut", "is cut off"),
        ("header only", "holds no rows"),
    ],
)
def test_a_bad_file_gets_a_sentence_beside_the_picker(
    page: Page, stack: Stack, real_data: Path, fault: str, sentence: str
) -> None:
    good = recording(real_data)
    first = good.splitlines()[1].split(b",")
    content = {
        "empty": b"",
        "binary": bytes(range(256)) * 40,
        "columns": b"a,b\n1,2\n",
        "formula": good.replace(first[0], b"=SUM(A1:A9)", 1),
        "formula phase": good.replace(first[-1], b"=cmd()", 1),
        "gap": good.replace(b"\n" + first[0], b"\n", 1).replace(b"\r\n" + first[0], b"\r\n", 1),
        "cut": good[:5000],
        "header only": good.splitlines()[0] + b"\n",
    }[fault]
    upload(page, stack, content)
    fault_text = page.locator("#file-fault")
    expect(fault_text).to_be_visible()
    expect(fault_text).to_contain_text(sentence)
    assert (
        page.locator("#file")
        .get_attribute("aria-describedby", timeout=1000)
        .startswith(  # type: ignore[union-attr]
            "file-fault"
        )
    )


def test_the_settings_of_a_file_are_asked_for_and_held_against_its_telemetry(
    page: Page, stack: Stack, real_data: Path
) -> None:
    page.goto(stack.url + "/")
    for label in ("Feed rate", "Clamp pressure"):
        expect(page.get_by_role("textbox", name=label)).to_have_value("")
    answer = httpx.post(
        stack.url + "/", files={"file": ("a.csv", recording(real_data))}, data={"feedrate": "20"}
    )
    assert answer.status_code == 422
    assert "Give the clamp pressure of this recording in bar" in answer.text
    upload(page, stack, recording(real_data, 11), feedrate="30")
    expect(page.get_by_role("alert").filter(has_text="Check the settings")).to_contain_text(
        "M1_CURRENT_FEEDRATE reads 3 "
    )


def test_home_prints_on_one_sheet(page: Page, stack: Stack) -> None:
    visit(page, stack, f"/?run={RUN}")
    assert page.pdf(format="A4").count(b"/Type /Page\n") == 1


# What a machinist has no use for on a sheet at the machine.
_STATISTICS = re.compile(
    r"P\(|SHAP|LIME|probabilit|percent|%|median|mean\b|interval|accuracy|feature|_[A-Z]", re.I
)


def test_the_machinists_sheet_is_one_page_without_statistics(
    page: Page, stack: Stack, real_data: Path
) -> None:
    visit(page, stack, f"/?run={RUN}")
    page.get_by_role("link", name="Sheet for the machinist").click()
    sheet = page.locator(".sheet")
    expect(sheet.locator("h1")).to_have_text("The tool is not worn")
    page.goto(stack.url + "/")
    content = {"name": "a.csv", "mimeType": "text/csv", "buffer": recording(real_data, 8)}
    page.locator("#file").set_input_files(content)  # type: ignore[arg-type]
    page.get_by_role("textbox", name="Feed rate").fill("20")
    page.get_by_role("textbox", name="Clamp pressure").fill("4")
    page.get_by_role("button", name="Sheet for the machinist").click()
    expect(sheet.locator("h1")).to_have_text("The tool is worn")
    text = sheet.inner_text()
    assert "Do not rely on this for new recordings" in text
    assert "Change the tool before the next part." in text
    assert re.search(r"of 100 moments of the cut \d+ look worn", text)
    signals = sheet.locator("ul li").all_inner_texts()
    assert len(signals) == 3
    assert all(re.search("speaks for an? (un)?worn tool", signal) for signal in signals), signals
    assert _STATISTICS.findall(text) == []
    assert page.pdf(format="A4").count(b"/Type /Page\n") == 1


def test_the_console_has_metrics(stack: Stack) -> None:
    httpx.get(stack.url + "/nothing")
    text = httpx.get(stack.url + "/metrics").text
    assert 'toolwear_console_answers_total{status="404"}' in text


def test_a_file_of_100_mb_is_refused_before_and_after_it_is_sent(
    page: Page, stack: Stack, tmp_path: Path
) -> None:
    large = tmp_path / "large.csv"
    with large.open("wb") as stream:
        stream.truncate(100 << 20)
    page.goto(stack.url + "/")
    page.locator("#file").set_input_files(large)
    page.get_by_role("textbox", name="Feed rate").fill("6")
    page.get_by_role("textbox", name="Clamp pressure").fill("4")
    page.get_by_role("button", name="Judge the file").click()
    expect(page.locator("#file-fault")).to_contain_text("more than 10 MB")
    with large.open("rb") as stream:
        answer = httpx.post(
            stack.url + "/", files={"file": stream}, data={"feedrate": "6"}, timeout=60
        )
    assert answer.status_code == 422
    assert "The file has more than 10 MB" in answer.text


def test_another_site_cannot_send_a_file(stack: Stack) -> None:
    answer = httpx.post(
        stack.url + "/", files={"file": b"x"}, headers={"sec-fetch-site": "cross-site"}
    )
    assert answer.status_code == 403


_ANSWERED = re.compile(r"The last [\d,]+ rows that the champion answered")


def test_data_shows_every_column_and_the_checks(page: Page, stack: Stack) -> None:
    stack.traffic(40)
    visit(page, stack, "/data")
    text = page.locator("#content").inner_text()
    for column in mill.NUMERIC_COLUMNS:
        assert page.get_by_role("img", name=f"{column}, worn against unworn").count() >= 1
    assert "S1_OutputPower_std" in text
    assert "expectations: 0 critical ones failed" in text
    assert page.get_by_role("img", name=re.compile("Rank correlation")).is_visible()
    for _ in range(30):  # until the payload log has written the answers
        if page.get_by_text(_ANSWERED).count():
            break
        page.wait_for_timeout(500)
        visit(page, stack, "/data")
    expect(page.get_by_text(_ANSWERED)).to_be_visible()
    with page.expect_navigation():
        page.get_by_role("link", name="Open the Data Docs").click()
    assert page.url.endswith("/data_docs/index.html")
    with page.expect_navigation():
        page.get_by_role("link", name="report.html").click()
    expect(page.locator("h1").first).to_be_visible()


def test_model_shows_the_measured_figures_beside_the_published_ones(
    page: Page, stack: Stack
) -> None:
    visit(page, stack, "/model")
    shown = page.locator("#content").inner_text()
    assert "Version 1 is the champion now" in shown
    assert page.get_by_role("img", name="How often the model is right, by question").is_visible()
    assert "Leaderboard" not in shown.split("Unseen runs")[0], "tables are folded away"
    unfold(page)
    text = page.locator("#content").inner_text()
    for name, figures in summary(stack)["protocols"]["known_runs"].items():
        if figures["published"]:
            assert f"{figures['mcc']:.4f}" in text, name
            assert f"{figures['published']['mcc']:.4f}" in text, name
    held = summary(stack)["protocols"]["known_runs"]["auto_sklearn"]
    cells = page.locator("table.confusion").first.locator("td").all_inner_texts()
    (a, b, c, d) = (int(cell.replace(",", "")) for cell in cells if cell)
    assert a + b + c + d == held["n"]
    assert (a + d) / held["n"] == pytest.approx(held["accuracy"])
    for title in ("ROC", "Precision and recall", "Calibration", "Accuracy against coverage"):
        named = re.compile(rf"^{title}( of .*auto-sklearn.*)?$", re.IGNORECASE)
        assert page.get_by_role("img", name=named).is_visible(), title
    assert "Leaderboard" in text
    assert "Model card" in text


def test_why_explains_a_prediction_by_four_methods_and_the_model_by_two(
    page: Page, stack: Stack
) -> None:
    visit(page, stack, f"/why?run={RUN}")
    for title in ("SHAP", "LIME", "Anchor", "ICE", "Partial dependence", "A small tree"):
        card = page.get_by_role("region", name=re.compile(f"^{title}"))
        expect(card).to_contain_text("Reliability: ")
        assert not re.search(r"\d\.\d{5}", card.inner_text())
    expect(page.get_by_role("region", name="Where they agree and disagree")).to_contain_text("SHAP")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download as one HTML file").click()
    report = Path(download.value.path()).read_text(encoding="utf-8")
    assert "Reliability: " in report
    assert not re.search(r'(src|href)="', report), "it needs nothing beside itself"


def test_why_says_which_rows_there_are(page: Page, stack: Stack) -> None:
    page.goto(f"{stack.url}/why?run={RUN}&row=999999")
    expect(page.locator("#content")).to_contain_text("Run 02 has the rows 0 to 1667")


def test_runs_show_cause_gate_and_steps(page: Page, stack: Stack) -> None:
    visit(page, stack, "/runs")
    name = (stack.home / "latest").resolve().name
    row = page.get_by_role("row", name=re.compile(name))
    expect(row).to_contain_text("started by hand")
    expect(row).to_contain_text(words.decision(summary(stack)["gate"]["decision"]))
    page.get_by_role("link", name=name).click()
    expect(page.get_by_role("img", name=re.compile("The steps of run"))).to_be_visible()
    wide = page.evaluate(_WIDER_THAN_ITS_BOX)
    assert wide == []
    expect(page.get_by_role("row", name=re.compile("^automl succeeded"))).to_be_visible()
    page.get_by_role("link", name="Log and files of ingest").click()
    expect(page.get_by_role("group", name="Log of ingest")).to_contain_text("19 files were read as")
    files = page.get_by_role("group", name="Files of ingest")
    with page.expect_download() as download:
        files.get_by_role("link", name="telemetry/manifest.json").click()
    given = Path(download.value.path()).read_bytes()
    (kept,) = (stack.home / name).glob("artifacts/*/ingest/telemetry/manifest.json")
    assert given == kept.read_bytes()
    page.goto(f"{stack.url}/runs/{name}")
    page.get_by_role("link", name="Open the report").click()
    expect(page.locator("h1").first).to_be_visible()


def test_runs_are_chosen_and_compared(page: Page, stack: Stack) -> None:
    names = [older_run(stack), (stack.home / "latest").resolve().name]
    visit(page, stack, "/runs")
    expect(page.get_by_role("img", name="accuracy, known runs over 2 runs")).to_be_visible()
    page.get_by_role("button", name="Compare the chosen runs").click()
    expect(page.get_by_role("alert")).to_contain_text("Choose two or more runs")
    visit(page, stack, "/runs?figure=seconds")
    expect(page.get_by_role("img", name="seconds in all over 2 runs")).to_be_visible()
    for name in names:
        page.get_by_label(f"Compare run {name}").check()
    page.get_by_role("button", name="Compare the chosen runs").click()
    rows = page.locator("table.compare tr").all_inner_texts()
    assert [name in rows[0] for name in names] == [True, True]
    seed = next(row for row in rows if row.startswith("seed differs"))
    assert seed.split("\t")[1:] == ["41", "0"]
    held = summary(stack)["protocols"]["known_runs"]["auto_sklearn"]
    assert any(row.startswith(f"MCC, known runs\t{held['mcc']:.4f}") for row in rows)
    assert rows.index(seed) < rows.index("Parameters that are the same")
    fill(page)
    both = ", ".join(names)
    for what in ("ROC", "Precision and recall", "Calibration", "Progress of the search"):
        plot = page.get_by_role("img", name=f"{what} of {both}")
        expect(plot).to_be_visible()
        assert plot.locator("path.line.c0.d0:not(.dots)").count() == 1
        assert plot.locator("path.line.c1.d1:not(.dots)").count() == 1
    page.get_by_text("As a table").click()
    rows = page.get_by_role("table", name="The curves in figures").locator("tr").all_inner_texts()
    assert [row.split("\t")[0] for row in rows[1:]] == names
    assert rows[2].split("\t")[1] == f"{held['auc']:.4f}"


# Texts of the graph's nodes that stick out of the rectangle before them.
_WIDER_THAN_ITS_BOX = """() => [...document.querySelectorAll("rect.node")].flatMap((rect) => {
    const box = rect.getBoundingClientRect();
    return [rect.nextElementSibling, rect.nextElementSibling.nextElementSibling]
        .filter((text) => {
            const own = text.getBoundingClientRect();
            return own.left < box.left || own.right > box.right;
        }).map((text) => text.textContent);
})"""


def test_monitoring_without_prometheus_says_so_and_with_it_shows_live_figures(
    page: Page, stack: Stack
) -> None:
    visit(page, stack, "/monitoring")
    expect(page.locator(".down").first).to_contain_text("Not monitored: no Prometheus at")
    expect(page.get_by_role("row", name=re.compile("promote"))).to_be_visible()
    stack.start_prometheus()
    stack.traffic(20)

    # The recordings are years old, so the rule on stale features has to see this traffic.
    def shows_all() -> bool:
        visit(page, stack, "/monitoring")
        plots, alerts = page.get_by_role("img", name="Answers", exact=True), page.locator(STALE)
        return plots.count() == 1 and alerts.count() == 1

    for _ in range(30):
        if shows_all():
            break
        stack.traffic(5)
        page.wait_for_timeout(500)
    assert shows_all()
    page.locator(STALE).get_by_text("Runbook").click()
    expect(page.locator(STALE).locator("pre")).to_contain_text("older than an hour")


@pytest.mark.parametrize("part", ["predictor", "transformer"])
def test_a_part_that_hangs_is_named_and_the_rest_works(page: Page, stack: Stack, part: str) -> None:
    with stack.paused(part):
        visit(page, stack, f"/?run={RUN}")
        expect(page.locator(".strip")).to_contain_text(f"{part} down")
        if part == "predictor":
            expect(page.locator(".strip")).to_contain_text("transformer waiting for the predictor")
            visit(page, stack, f"/why?run={RUN}&row=300")
            expect(page.get_by_label("Row", exact=True)).to_have_value("300")
            expect(page.get_by_role("link", name="Try again")).to_be_visible()
            visit(page, stack, f"/?run={RUN}")
            expect(page.locator(".down")).to_contain_text("The predictor does not answer")
        visit(page, stack, "/model")
        expect(page.locator("h1")).to_have_text("The model")
    visit(page, stack, f"/?run={RUN}")
    expect(page.locator("#verdict")).to_be_visible()
    expect(page.locator(".strip")).to_contain_text(f"{part} up")


def test_without_the_explainer_why_says_so_until_it_is_back(page: Page, stack: Stack) -> None:
    stack.kill("explainer")
    visit(page, stack, f"/why?run={RUN}&row=300")
    # At least the five of this prediction; what was kept of the model as a whole may be shown.
    assert page.locator(".down").count() >= 5
    expect(page.locator(".down").first).to_contain_text("The explainer does not answer")
    stack.wait_ready("explainer")
    visit(page, stack, f"/why?run={RUN}&row=300")
    assert page.locator(".down").count() == 0


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", [*PAGES, "run", "report", "compare", "step", "sheet"])
def test_axe_finds_no_serious_violation_and_nothing_overflows(
    browser: Browser, stack: Stack, name: str, scheme: str, width: int
) -> None:
    run = (stack.home / "latest").resolve()
    # As a file: the console shows a report in a sandbox, where axe's script may not run either.
    others = {
        "run": f"{stack.url}/runs/{run.name}",
        "report": (run / "report.html").as_uri(),
        "compare": f"{stack.url}/compare?run={run.name}&run={older_run(stack)}",
        "step": f"{stack.url}/runs/{run.name}/steps/ingest",
        "sheet": f"{stack.url}/sheet?run={RUN}",
    }
    page = open_page(browser, "dark" if scheme == "dark" else "light", width)
    page.goto(others.get(name) or stack.url + PAGES[name])
    fill(page)
    unfold(page)
    overflow = page.evaluate(
        "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    assert overflow <= 0
    found = Axe().run(page).response["violations"]
    page.context.close()
    bad = [
        (item["id"], node["html"])
        for item in found
        if item["impact"] in ("serious", "critical")
        for node in item["nodes"]
    ]
    assert bad == []


def test_every_answer_has_the_security_headers(stack: Stack) -> None:
    for path in (*PAGES.values(), "/parts/strip", "/static/console.js", "/nothing", "/healthz"):
        headers = httpx.get(stack.url + path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"


def test_monitoring_shows_what_the_monitor_sees(page: Page, stack: Stack) -> None:
    kinds = httpx.get(stack.of("monitor") + "/v1/state").json()["kinds"]
    visit(page, stack, "/monitoring")
    table = page.get_by_role("group", name="Drift by kind")
    for kind, seen in kinds.items():
        expect(table.get_by_role("row", name=re.compile(f"^{kind} "))).to_contain_text(seen["why"])
    assert httpx.get(stack.url + "/drift/no-such-window").status_code == 404
    with stack.paused("monitor"):
        visit(page, stack, "/monitoring")
        expect(page.locator("#content")).to_contain_text("The monitor does not answer")
        expect(page.locator("#content")).to_contain_text("Audit log")


@pytest.mark.parametrize(
    "path",
    [
        "/runs/..%2f..%2fetc",
        "/report/latest",
        "/data-docs/..%2f..%2f..%2f..%2f..%2farguments.json",
        "/data-docs/../../../../../etc/passwd",
        "/static/../app.py",
    ],
)
def test_no_file_outside_is_given(stack: Stack, path: str) -> None:
    assert httpx.get(stack.url + path).status_code == 404
