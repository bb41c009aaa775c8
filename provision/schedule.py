"""The waves of a job: which sessions take up which play, one wave after another.

Owns what the words of a play about its hosts come to (`serial`, `order`, `max_fail_percentage`). Must not connect.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from provision.agent.record import record
from provision.board import Board
from provision.errors import ProvisionError
from provision.playbook import Play
from provision.runner import Wave
from provision.scopes import HostVariables, Run, Scopes
from provision.waves import cut, ordered

if TYPE_CHECKING:
    from provision.session import Opened, Session

__all__ = ["Cast", "check", "never_begun", "waves"]

Reach = Callable[[Play, str], "Callable[[], Opened] | None"]
"""How a play reaches a host, None where it does as the play before."""


@record(slots=True)
class Cast:
    """Who takes part: sessions by host, what they tell each other, how plays reach them; `closing` ends the rest.

    `lenient`: a command that only looks at hosts; no serial, and no loss of hosts ends it.
    """

    sessions: Mapping[str, Session]
    board: Board
    reach: Reach
    closing: Sequence[Callable[[], None]] = ()
    lenient: bool = False


def check(plays: Sequence[Play], hosts: Sequence[Sequence[str]], run: Run) -> None:
    """Raises ProvisionError for a play whose words about its hosts come to nothing that can be done."""
    for play, names in zip(plays, hosts, strict=True):
        if names:
            list(_waves_of(play, names, run))
            _percentage(play, names, run)


def waves(plays: Sequence[Play], hosts: Sequence[Sequence[str]], run: Run, cast: Cast) -> list[Callable[[], Wave]]:
    """What begins each wave of each play, in their order."""
    result: list[Callable[[], Wave]] = []
    for index, (play, names) in enumerate(zip(plays, hosts, strict=True)):
        later = {host for group in hosts[index + 1 :] for host in group}
        parts = [tuple(names)] if cast.lenient else _waves_of(play, names, run)
        everyone = tuple(host for part in parts for host in part)
        for number, part in enumerate(parts):
            result.append(_beginning(play, part, cast, run, (number == 0, everyone, later)))
    return result


def _beginning(
    play: Play, hosts: Sequence[str], cast: Cast, run: Run, around: tuple[bool, Sequence[str], set[str]]
) -> Callable[[], Wave]:
    first, everyone, later = around

    def begin() -> Wave:
        if first:
            cast.board.begin_play(everyone)
        chosen = {host: cast.sessions[host] for host in hosts if cast.sessions[host].usable}
        cast.board.begin_wave(list(chosen))
        for host, session in chosen.items():
            session.begin(play, last=host not in later, open_link=cast.reach(play, host))
        most = None if cast.lenient else _percentage(play, everyone, run)
        return Wave(chosen, len(hosts), most, cast.board.told, cast.lenient)

    return begin


def _waves_of(play: Play, hosts: Sequence[str], run: Run) -> list[tuple[str, ...]]:
    serial = _rendered(play.serial, play, hosts, run)
    return cut(ordered(hosts, play.order), serial, getattr(play.serial, "mark", play.where))


def _percentage(play: Play, hosts: Sequence[str], run: Run) -> float | None:
    value = _rendered(play.max_fail_percentage, play, hosts, run)
    if value is None:
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ProvisionError(
            f"`max_fail_percentage` is a number, not `{value}`", where=play.where, context="play"
        ) from None


def _rendered(value: Any, play: Play, hosts: Sequence[str], run: Run) -> Any:
    """A word of the play itself, with the names that the first host sees."""
    if value is None or not hosts:
        return value
    return Scopes(play, HostVariables(run, hosts[0], play_hosts=tuple(hosts)), {}).whole().render(value)


def never_begun(hosts: Sequence[Sequence[str]], sessions: Mapping[str, Session]) -> Iterator[str]:
    """Hosts whose turn never came, as the run ended before it."""
    everyone = dict.fromkeys(host for group in hosts for host in group)
    return (host for host in everyone if not sessions[host].begun)
