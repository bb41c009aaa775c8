"""How each listed difference is recognised in what a comparison found: one function each, narrow on purpose."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from differences import Found


def nobody_of_that_name(found: Found) -> bool:
    """Ours refused a pattern for a name that is really nobody's."""
    if found.kind != "pattern":
        return False
    name = re.fullmatch(r"<error> no host or group is called `(.+)`", str(found.ours))
    return name is not None and name[1] not in found.context["hosts"] and name[1] not in found.context["groups"]


def subscripts(found: Found) -> bool:
    """A pattern with a subscript that Ansible does not take for one, or past the end."""
    if found.kind != "pattern":
        return False
    past = found.theirs == "<error>" and re.search(r"\[-?[0-9]+\]", found.about) is not None
    return past or re.search(r"\[(-[0-9]+:[0-9]*|:-?[0-9]+|[0-9]*:-[0-9]+)\]", found.about) is not None


def order_of_grandchildren(found: Found) -> bool:
    """The same hosts in another order, where two groups of one level have children."""
    if not isinstance(found.ours, list) or not isinstance(found.theirs, list):
        return False
    return (
        found.kind in ("pattern", "group", "order", "variable")
        and found.context["deep"]
        and sorted(map(str, found.ours)) == sorted(map(str, found.theirs))
    )


def left_out(found: Found) -> bool:
    """Results that agree but for what was not run any more."""
    if found.kind != "results":
        return False
    return [
        one for one in found.context["ours"]["results"].get(found.about.partition(" ")[0], []) if one[1] != "not run"
    ] == (found.context["theirs"]["results"].get(found.about.partition(" ")[0], []))
