"""A verdict as text, JSON, JUnit, HTML and metrics; what hosts say stays text everywhere."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest
from made_up import NOW, fleet, healthy, host, lost, stopped
from syrupy.assertion import SnapshotAssertion

from provision.errors import ProvisionError
from provision.verify import html, metrics
from provision.verify.document import document, schema
from provision.verify.junit import junit
from provision.verify.ladder import RUNGS, Finding, Verdict, judge
from provision.verify.text import lines, plain


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def test_text_of_fifty_hosts_is_readable(snapshot: SnapshotAssertion) -> None:
    text = plain(lines(fleet()))
    assert text == snapshot
    assert len(text.splitlines()) < 60
    assert "\x1b" not in text


def test_text_of_a_healthy_fleet_is_one_line() -> None:
    assert plain(lines(healthy())) == "50 hosts: all true  in 4.2 s  (simulated)\n"


def test_verbose_text_says_what_was_seen_once() -> None:
    text = plain(lines(healthy(), verbose=True))
    assert text.count("apps is fine  all 50 hosts") == 1
    assert "  ".join(("reachable", "system", "driver")) in text


@pytest.mark.parametrize("verdict", [healthy(), fleet(), Verdict("p", (), interrupted=True)])
def test_json_keeps_its_schema(verdict: Verdict) -> None:
    told = json.loads(json.dumps(document(verdict)))
    jsonschema.validate(told, schema())
    assert told["exit_code"] == verdict.exit_code
    assert told["hosts"].keys() == {each.host for each in verdict.hosts}


def test_the_schema_refuses_what_is_no_verdict() -> None:
    told = document(fleet())
    told["hosts"]["gpu-01"]["rungs"].pop("apps")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(told, schema())


ATTRIBUTES = {
    "testsuites": {"name", "tests", "failures", "errors", "skipped", "time"},
    "testsuite": {"name", "tests", "failures", "errors", "skipped", "time"},
    "testcase": {"name", "classname"},
    "failure": {"message", "type"},
    "error": {"message", "type"},
    "skipped": {"message"},
    "system-out": set(),
}
CHILDREN = {
    "testsuites": {"testsuite"},
    "testsuite": {"testcase"},
    "testcase": {"failure", "error", "skipped", "system-out"},
}


def test_junit_has_the_structure_that_ci_reads() -> None:
    root = ElementTree.fromstring(junit(fleet()))
    for element in root.iter():
        assert element.attrib.keys() == ATTRIBUTES[element.tag]
        assert {child.tag for child in element} <= CHILDREN.get(element.tag, set())
    for suite in (root, *root):
        cases = list(suite.iter("testcase"))
        assert int(suite.attrib["tests"]) == len(cases)
        for tag, counted in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            assert int(suite.attrib[counted]) == len(list(suite.iter(tag)))
    suites = {suite.attrib["name"]: suite for suite in root}
    assert (suites["gpu-50"].attrib["errors"], suites["gpu-50"].attrib["failures"]) == ("1", "0")
    assert suites["gpu-03"].attrib["failures"] == "1"
    assert {suites[name].attrib["failures"] for name in ("gpu-01", "gpu-02")} == {"0"}
    assert "mend: provision apply play.yaml -l gpu-20" in str(suites["gpu-20"].find(".//failure").text)  # type: ignore[union-attr]


def test_junit_can_be_read_whatever_a_host_calls_its_checks() -> None:
    evil = Finding("apps", "apps.\x1b[2J<\x00>", "failed", "x")
    root = ElementTree.fromstring(junit(replace(fleet(), hosts=(judge("gpu-01", [evil]),))))
    assert root.find(".//failure").attrib["type"] == "apps.[2J<>"  # type: ignore[union-attr]


class Parsed(HTMLParser):
    """Tags, ids and links of a page, and what is open at its end."""

    VOID = ("meta", "br", "link")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self.ids += [str(value) for name, value in attrs if name == "id"]
        self.links += [str(value) for name, value in attrs if name in ("href", "src")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_offline_and_escapes_what_hosts_say() -> None:
    text = html.page(fleet())
    page = Parsed(text)
    assert page.open == []
    assert "script" not in page.tags
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert len(page.ids) == len(set(page.ids))
    assert all(link.startswith("#") and link[1:] in page.ids for link in page.links)
    assert not re.search(r"\burl\(|@import|https?:", text)
    assert "\x1b" not in text and "\x00" not in text


def test_the_heat_map_has_a_row_for_each_host_and_a_cell_for_each_rung() -> None:
    text = html.page(fleet())
    assert text.count('<th scope="row">gpu-') == 50 + text.split('id="facts"')[1].count('<th scope="row">gpu-')
    assert text.count("<td class=") == 50 * len(RUNGS)
    assert text.count('<td class="failed"') == 9
    assert 'aria-label="gpu-03, environments: failed"' in text


def test_the_page_of_a_healthy_fleet_says_so() -> None:
    text = html.page(healthy())
    assert "<p>None.</p>" in text
    assert '<td class="failed"' not in text
    assert "4 × NVIDIA A10 (simulated)" in text


def samples(text: str) -> dict[str, float]:
    found = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in found}


def test_metrics_are_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "provision.prom"
    path.write_text("old")
    metrics.write(fleet(), path)
    found = samples(path.read_text())
    assert found['provision_verify_rung_ok{host="gpu-03",rung="environments"}'] == 0
    assert found['provision_verify_rung_ok{host="gpu-01",rung="environments"}'] == 1
    assert 'provision_verify_rung_ok{host="gpu-03",rung="apps"}' not in found
    assert found['provision_verify_host_reachable{host="gpu-50"}'] == 0
    assert found['provision_verify_findings{host="gpu-12",rung="configuration",status="failed"}'] == 1
    assert found["provision_verify_exit_code"] == 6
    assert found["provision_verify_last_run_timestamp_seconds"] == NOW
    assert [each.name for each in tmp_path.iterdir()] == ["provision.prom"]


def test_what_cannot_be_written_is_said(tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    verdict = Verdict("p", (host("a", stopped("a")), lost("b")))
    errors = []
    for write in (metrics.write, html.write):
        with pytest.raises(ProvisionError) as caught:
            write(verdict, tmp_path / "none" / "file")
        errors.append(str(caught.value).replace(str(tmp_path), "TMP"))
    assert [re.sub(r"TMP/none/[^`']*'", "TMP/none/…'", error) for error in errors] == snapshot
