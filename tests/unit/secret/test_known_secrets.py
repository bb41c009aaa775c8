"""A secret is found in a text in whatever form it stands there, and nothing else is."""

from __future__ import annotations

import base64
import html
import json
import pickle
import shlex
import time
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provision.agent.protocol import Result
from provision.errors import Mark, ProvisionError, ProvisionErrors
from provision.events import Event, HostFailed, StepEnded, StepOutput
from provision.secret.known import KNOWN, Known, clean, derived, learned, secret
from provision.secret.showing import Showing
from provision.secret.value import HIDDEN, Secret, holds, marked, masked, revealed

VALUE = "p'a\"ss$ wörd/+\\x`<&>"


@pytest.mark.parametrize(
    "form",
    [
        VALUE,
        json.dumps(VALUE),
        json.dumps(VALUE, ensure_ascii=False),
        shlex.quote(VALUE),
        repr(VALUE),
        quote(VALUE),
        quote(VALUE, safe=""),
        quote_plus(VALUE),
        html.escape(VALUE),
        VALUE.encode().hex(),
        VALUE.replace("'", "''"),
    ],
)
def test_every_form_of_it_is_hidden(form: str) -> None:
    known = Known()
    known.add(VALUE)
    shown = known.redact(f"before {form} after")
    assert shown.startswith("before ") and shown.endswith(" after")
    assert HIDDEN in shown
    assert "ss$" not in shown and "wörd" not in shown and "rd" not in shown.replace("before", "")


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=7), st.text(min_size=9, max_size=40), st.binary(max_size=7), st.booleans())
def test_base64_hides_it_wherever_it_stands_in_what_was_encoded(
    before: bytes, text: str, after: bytes, urls: bool
) -> None:
    known = Known()
    known.add(text)
    if not known:
        return
    encode = base64.urlsafe_b64encode if urls else base64.b64encode
    try:
        whole = before + text.encode() + after
    except UnicodeEncodeError:
        return
    shown = known.redact(encode(whole).decode())
    assert HIDDEN in shown
    # what is left holds nothing but the surroundings, and bits of the letters at the edge
    assert len(shown.replace(HIDDEN, "")) <= (len(before) + len(after)) * 4 / 3 + 8


def test_lines_of_a_key_are_hidden_one_by_one() -> None:
    lines = [
        "-----BEGIN PRIVATE KEY-----",
        "MC4CAQAwBQYDK2VwBCIEIL",
        "short",
        "x9Zkq1w2e3r4t5y6",
        "-----END PRIVATE KEY-----",
    ]
    known = Known()
    known.add("\n".join(lines) + "\n")
    shown = known.redact("\n".join(f"  {line}" for line in lines))
    assert shown.split() == [
        "-----BEGIN",
        "PRIVATE",
        "KEY-----",
        HIDDEN,
        "short",
        HIDDEN,
        "-----END",
        "PRIVATE",
        "KEY-----",
    ]


def test_the_longest_wins_and_short_ones_are_no_secrets() -> None:
    known = Known()
    for text in ("abcd", "abcdefgh", "ab", ""):
        known.add(text)
    assert known.redact("abcdefgh abcd ab") == f"{HIDDEN} {HIDDEN} ab"


def test_thousands_are_added_and_found_in_time() -> None:
    known = Known()
    begun = time.process_time()
    for number in range(1500):
        known.add(f"secret-number-{number:05}-")
    assert known.redact("secret-number-00777- and secret-number-01499-") == f"{HIDDEN} and {HIDDEN}"
    assert time.process_time() - begun < 15
    assert len(known._parts) < 12


def test_the_type_says_so_and_does_not_give_it_away() -> None:
    value = secret(VALUE)
    assert repr(value) == repr({"a": value})[6:-1] == repr(HIDDEN)
    assert f"{value}" == VALUE
    assert type(pickle.loads(pickle.dumps(value))) is Secret
    nested = {"a": [1, value], "b": None}
    assert holds(nested) and not holds(revealed(nested)) and revealed(nested)["a"][1] == VALUE
    assert type(revealed(value)) is str
    assert masked(nested) == {"a": [1, HIDDEN], "b": None}
    assert holds(marked({"a": "x"}))


def test_what_is_derived_is_known_unless_it_shows_what_it_is_made_of() -> None:
    value = secret("correct horse")
    derived(f"url: {value}@host")
    assert KNOWN.redact("url: x@host") == "url: x@host"
    derived("d404559f602eab6fd602ac7680dacbfaadd13630335e951f097af3900e9de176")
    assert KNOWN.redact("is d404559f602eab6fd602ac7680dacbfaadd13630335e951f097af3900e9de176") == f"is {HIDDEN}"


def test_events_and_errors_are_cleaned_whole() -> None:
    value = secret("correct horse")
    error = ProvisionError(f"no {value}", context=f"task {value}", cause=f"it is {value}", hint=f"not {value}")
    result = Result(1, "failed", fields={"out": [f"x{value}"]}, error={"summary": f"{value}"})
    shown = clean(StepEnded("h", f"t {value}", Mark("f", 1, 1), result, message=f"{value}"))
    assert "horse" not in repr(shown) and shown.result.fields == {"out": [f"x{HIDDEN}"]}
    assert "horse" not in str(clean(HostFailed("h", error)).error)
    several = clean(ProvisionErrors([ProvisionError(f"a {value}"), ProvisionError("b")]))
    assert [one.summary for one in several.errors] == [f"a {HIDDEN}", "b"]
    short = clean(StepEnded("h", "t", None, Result(1, "ok", fields={"pin": marked("12")}), message=learned("12")))
    assert (short.result.fields, short.message) == ({"pin": HIDDEN}, HIDDEN)


def test_a_secret_across_two_pieces_of_output_is_hidden() -> None:
    said: list[Event] = []
    showing = Showing(said.append)
    secret("correct horse")
    for text in ("a correct", " horse b\nrest corr", "ect ho", "rse"):
        showing.emit(StepOutput("h", 1, "stdout", text))
    showing.emit(StepOutput("other", 1, "stdout", "x"))
    showing.emit(StepEnded("h", "t", None, Result(1, "ok")))
    texts = [event.text for event in said if isinstance(event, StepOutput)]
    assert texts == [f"a {HIDDEN} b\n", f"rest {HIDDEN}"]
    assert isinstance(said[-1], StepEnded)


def test_what_is_held_back_is_told_when_the_host_is_lost() -> None:
    said: list[Event] = []
    showing = Showing(said.append)
    secret("correct horse")
    showing.emit(StepOutput("h", 1, "stdout", "half a line"))
    showing.emit(HostFailed("h", ProvisionError("gone")))
    assert [type(event) for event in said] == [StepOutput, HostFailed]


def test_output_of_a_run_without_secrets_is_not_held_back() -> None:
    said: list[Event] = []
    showing = Showing(said.append)
    showing.emit(StepOutput("h", 1, "stdout", "Password:"))
    assert said == [StepOutput("h", 1, "stdout", "Password:")]
