"""What a host says cannot steer a terminal, hide text or turn it around; one function sees to that everywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

import provision
from provision.printable import printable

ROOT = Path(provision.__file__).parent


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text", "plain text"),
        ("Grüße, 世界", "Grüße, 世界"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1bP1$qm\x1b\\after", "after"),
        ("\x1bcreset", "reset"),
        ("50 %\r100 %\r\nnext", "50 %\n100 %\nnext"),
        ("a\x00b\x07c\x7fd\x9be", "abcde"),
        ("user\u202egnp.exe", "usergnp.exe"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("line\u2028separator", "lineseparator"),
        ("no\u00a0break\u3000wide", "no break wide"),
        ("lone \udc80 surrogate", "lone  surrogate"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(shown) == shown


def test_only_one_module_knows_escape_sequences() -> None:
    knowing = [path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py") if r"\x1b\[" in path.read_text()]
    assert knowing == ["printable.py"]
