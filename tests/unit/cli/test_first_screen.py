"""The first screen of a run, on the page and on the terminal, and the words that people read."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest

from components.report.captions import caption
from toolwear.cli.plain import plain_console
from toolwear.cli.summary import print_run
from toolwear.common import jsonfile, words
from toolwear.common.causes import Cause
from toolwear.dataset.schema import AUTO_SKLEARN, KNOWN_RUNS, NESTED, NEW_RUN, SETTINGS_ONLY
from toolwear.evaluation.headline import Figure, headline
from toolwear.explain.quality import quality_sentence
from toolwear.release.decisions import KNOWN_RUNS_ONLY, NEW_RUNS, Outcome
from toolwear.release.outcomes import Promotion


def summary(**gate: Any) -> dict[str, Any]:
    """Return a summary of a run whose data carry no setting that can be left out."""
    runs = {"correct": 9, "of": 17, "there_are": 18, "wilson": [0.31, 0.738]}
    return {
        "data": {"source": "folder"},
        "gate": {
            "decision": Outcome.PROMOTE_FIRST,
            "outcome": Promotion.PROMOTED,
            "use": KNOWN_RUNS_ONLY,
            "reasons": ["All checks passed."],
        }
        | gate,
        "model": {"version": "1"},
        "left_out": {"new_setting": "there is one setting only"},
        "protocols": {
            KNOWN_RUNS: {
                AUTO_SKLEARN: {
                    "accuracy": 0.99771689,
                    "n": 3504,
                    "unit": "rows",
                    "interval": {"accuracy": [0.9955, 0.99884]},
                },
                SETTINGS_ONLY: {"accuracy": 0.593},
            },
            NEW_RUN: {NESTED: {"accuracy": 9 / 17, "n": 17, "unit": "runs", "runs": runs}},
        },
    }


def printed(found: dict[str, Any], folder: Path) -> str:
    jsonfile.write(folder / "summary.json", found)
    stream = io.StringIO()
    print_run(folder, plain_console(file=stream, width=160))
    return stream.getvalue()


def test_each_question_has_its_figure_with_an_interval_or_the_reason_why_not() -> None:
    known, new, setting = headline(summary()).figures
    assert known.told == "3,496 of 3,504 rows (99.77%, 95 % interval 99.55% to 99.88%)"
    assert known.baseline == 0.593
    assert new.told == "9 of 17 runs (53%, 95 % interval 31% to 74%)"
    assert setting.share is None
    assert setting.told == "not answered: there is one setting only"


def test_verdict_and_use_come_before_any_figure(tmp_path: Path) -> None:
    text = printed(summary(), tmp_path)
    order = ["Accepted (first model)", "Do not rely on this for new recordings", "3,496 of", "●"]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    assert text.count("●") == 2, "one line for each question that was answered"
    assert f"report: {tmp_path / 'report.html'}" in text


def test_a_rejected_run_says_why_and_a_held_one_what_to_do(tmp_path: Path) -> None:
    refused = summary(
        decision=Outcome.REFUSE_THRESHOLD,
        outcome=Outcome.REFUSE_THRESHOLD,
        reasons=["Accuracy on known runs is 0.9; at least 0.98 is needed."],
    )
    text = printed(refused, tmp_path)
    assert "Rejected: accuracy below the limit\nVersion 1 was not promoted." in text
    assert "at least 0.98 is needed" in text
    assert "toolwear approvals" in printed(summary(outcome=Promotion.HELD), tmp_path)


def test_a_model_for_new_recordings_has_no_warning() -> None:
    first = headline(summary(use=NEW_RUNS))
    assert (first.use, first.warning) == ("Approved for new recordings", "")


@pytest.mark.parametrize("word", [*Outcome, *Promotion, *Cause, KNOWN_RUNS_ONLY, NEW_RUNS])
def test_every_fixed_word_has_a_text(word: str) -> None:
    texts = {words.decision(word), words.outcome(word), words.cause(word), words.use(word)}
    assert texts - {word, words.spaced(word), words.spaced(word).capitalize()}


def test_a_cause_keeps_its_detail() -> None:
    assert words.cause("on_demand: new inserts") == "started by hand: new inserts"
    assert words.cause("nightly") == "nightly", "a person may have written it in the Kubeflow UI"


def test_quality_is_one_sentence_with_rounded_figures() -> None:
    surrogate = {
        "depth": 6,
        "fidelity": 0.9006849315068494,
        "interval": [0.8903389939610439, 0.9101532839721854],
        "one_label": 0.5405251141552512,
        "one_rule": 0.8123,
        "rows": 3504,
    }
    told = quality_sentence("surrogate", surrogate)
    assert "90.1% of 3,504" in told
    assert "89.0% to 91.0%" in told
    assert "a single split would reach 81.2%" in told
    assert not re.search(r"\d\.\d{4}", told)
    assert told.count(". ") == 0


def test_a_figure_that_the_sentence_does_not_know_is_not_left_out() -> None:
    found = {"relative_standard_error": 0.16, "rows": 4, "spread": 0.0934567, "none": None}
    told = quality_sentence("shap", found)
    assert told.endswith("(relative standard error); spread 0.0935.")
    assert quality_sentence("counterfactual", {"distance": 0.123456}) == "distance 0.123."


def test_a_caption_is_words_whatever_the_picture() -> None:
    assert caption("1_shap_summary") == "SHAP: attribution of each feature over held-back rows"
    assert caption("6_new_kind-of_plot") == "New kind of plot"


@pytest.mark.parametrize("of", [2, 17, 100, 101, 828, 999, 1000, 3504, 25_286])
def test_all_but_one_is_not_printed_as_all(of: int) -> None:
    figure = Figure("q", right=of - 1, of=of, share=(of - 1) / of)
    assert figure.percent != Figure("q", right=of, of=of, share=1.0).percent
