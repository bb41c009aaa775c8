"""Reads file modes as chmod and Ansible write them: octal or symbolic."""

from __future__ import annotations

__all__ = ["parse_mode"]

_WHO = {"u": 0o700, "g": 0o070, "o": 0o007, "a": 0o777}
_SPECIAL = {"u": 0o4000, "g": 0o2000, "o": 0, "a": 0o6000}
_BITS = {"r": 0o444, "w": 0o222, "x": 0o111}
_SHIFT = {"u": 6, "g": 3, "o": 0}


def parse_mode(text: str, current: int = 0, folder: bool = False) -> int:
    """The mode that `text` means for a file whose mode is `current`; ValueError when it is no mode.

    Symbolic clauses without a who mean everybody, whatever the umask. `X` is `x` for folders and for files that
    somebody may already execute.
    """
    stripped = text.strip()
    if stripped and set(stripped) <= set("01234567"):
        mode = int(stripped, 8)
        if mode > 0o7777:
            raise ValueError("`%s` is no mode: it is over 7777" % text)
        return mode
    mode = current & 0o7777
    for clause in stripped.split(","):
        mode = _clause(clause, mode, folder, text)
    return mode


def _clause(clause: str, mode: int, folder: bool, text: str) -> int:
    at = next((index for index, letter in enumerate(clause) if letter in "+-="), -1)
    who = clause[:at] or "a"
    if at < 0 or set(who) - set(_WHO):
        raise ValueError("`%s` is no mode: write `0644` or `u=rw,go=r`" % text)
    operator, letters = "", ""
    for letter in clause[at:] + "+":
        if letter in "+-=":
            if operator:
                mode = _change(mode, who, operator, letters, folder, text)
            operator, letters = letter, ""
        else:
            letters += letter
    return mode


def _change(mode: int, who: str, operator: str, letters: str, folder: bool, text: str) -> int:
    bits = 0
    for letter in letters:
        bits |= _bits(letter, mode, who, folder, text)
    if operator == "+":
        return mode | bits
    if operator == "-":
        return mode & ~bits
    cleared = 0
    for one in who:
        cleared |= _WHO[one] | (_SPECIAL[one] if not folder else 0)
    if "a" in who and not folder:
        cleared |= 0o1000
    return (mode & ~cleared) | bits


def _bits(letter: str, mode: int, who: str, folder: bool, text: str) -> int:
    mask = special = 0
    for one in who:
        mask |= _WHO[one]
        special |= _SPECIAL[one]
    if letter in _BITS:
        return _BITS[letter] & mask
    if letter == "X":
        return 0o111 & mask if folder or mode & 0o111 else 0
    if letter == "s":
        return special
    if letter == "t":
        return 0o1000
    if letter in _SHIFT:
        return ((mode >> _SHIFT[letter]) & 7) * 0o111 & mask
    raise ValueError("`%s` is no mode: `%s` is none of r, w, x, X, s, t, u, g, o" % (text, letter))
