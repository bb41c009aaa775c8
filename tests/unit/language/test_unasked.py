"""Tasks whose work a check leaves out, and archives of the control node as steps."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest
from driven import driven, loaded

from provision.modules import canonical, is_word

ASKING = """
- hosts: all
  tasks:
    - {name: up, ansible.builtin.wait_for: {port: 22}}
    - {name: ask, uri: {url: "http://127.0.0.1/"}, register: answer}
    - {name: was it skipped, command: x, when: answer is skipped}
    - {name: what it said, command: y, when: answer.status == 200}
    - {name: all the same, uri: {url: "http://127.0.0.1/"}, check_mode: false}
"""


def test_a_check_asks_nobody_and_knows_that_it_does_not_know(tmp_path: Path) -> None:
    play = loaded(tmp_path, ASKING)
    checked = driven(play, check=True)
    assert checked.titles == [["was it skipped", "all the same"]]
    skipped = [(title, message) for title, status, message in checked.verdicts if status == "skipped"]
    assert skipped[:2] == [("up", "a check does not ask"), ("ask", "a check does not ask")]
    assert skipped[2][0] == "what it said" and skipped[2][1].startswith("known after apply")
    assert [step.title for step in driven(play).steps][:2] == ["up", "ask"]


def test_an_archive_goes_along_with_the_list_of_its_content(tmp_path: Path) -> None:
    play = loaded(tmp_path, "- hosts: all\n  tasks:\n    - {name: a, unarchive: {src: a.tar, dest: /opt/a}}\n")
    (tmp_path / "file").write_text("content")
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(tmp_path / "file", "inner/file")
    found = driven(play)
    spec = found.step("a").step.spec
    blobs = {sha256: content for batch in found.batches for sha256, content in batch.blobs.items()}
    assert blobs[spec["src_blob"]] == tmp_path / "a.tar"
    listing = json.loads(bytes(blobs[spec["listing_blob"]]))
    assert listing["handler"] == "TarArchive" and [member["name"] for member in listing["members"]] == ["inner/file"]


@pytest.mark.parametrize(
    ("source", "summary"),
    [("file", "`file` is no archive"), ("https://example.org/a.tar", "`unarchive` does not fetch an address")],
)
def test_what_is_no_archive_here_is_refused_here(tmp_path: Path, source: str, summary: str) -> None:
    text = (
        "- hosts: all\n  vars: {file: SOURCE}\n  tasks:\n    - {name: a, unarchive: {src: '{{ file }}', dest: /opt}}\n"
    )
    play = loaded(tmp_path, text.replace("SOURCE", f"'{source}'"))
    (tmp_path / "file").write_text("content")
    (failed,) = [batch.failed for batch in driven(play).batches if batch.failed]
    assert failed.summary == summary
    assert failed.where is not None and failed.where.line == 4


def test_words_are_taken_from_the_collections_that_ansible_has_them_in() -> None:
    words = ("ansible.posix.mount", "ansible.posix.sysctl", "community.general.modprobe", "ansible.builtin.get_url")
    assert all(is_word(canonical(word)) for word in words)
