"""Debian's packages, with Ansible's meaning of `package` and `apt`; holds as `dpkg_selections` sets them."""

from __future__ import annotations

from dataclasses import field
from typing import Any, Dict, List, Optional, Tuple, Union

from .. import package_holds, package_upkeep, packages
from ..debian_version import compare, fits
from ..record import record
from ..resource import Action, Emit, Refusal, Verb
from ..system import System

__all__ = ["Spec", "State", "apply", "decide", "fields", "observe", "questions"]


_STATES = ("present", "latest", "absent", "fixed")
_UPGRADES: Dict[Union[bool, str], List[str]] = {
    False: [],
    "no": [],
    "False": [],
    True: ["upgrade", "--with-new-pkgs"],
    "yes": ["upgrade", "--with-new-pkgs"],
    "True": ["upgrade", "--with-new-pkgs"],
    "safe": ["upgrade", "--with-new-pkgs"],
    "full": ["dist-upgrade"],
    "dist": ["dist-upgrade"],
}


@record(frozen=True)
class Spec:
    """Names of packages, each perhaps with `=VERSION`, or `=BEGINNING*` for any version that begins so.

    - package:
        name: [git, "nvidia-driver-535=535.104.05*"]
        state: present
        update_cache: true
        cache_valid_time: 3600
        hold: true
        lock_timeout: 600

    `update_cache` fetches the lists before something is installed, unless they are younger than `cache_valid_time`
    seconds. `absent` removes packages and keeps their configuration. `hold` keeps every other tool from changing
    them. `lock_timeout`: seconds to wait for whoever else installs packages, cloud-init among them. An older version
    than the one that is there needs `allow_downgrade`, another version of a held one `hold` or
    `allow_change_held_packages`.

    `latest` installs what the lists have now. `fixed` mends what is half installed. `deb`: a package file on the host.
    `upgrade`: of all that is installed, `safe` (or `yes`: nothing is removed) or `dist` (or `full`). `purge`: what is
    removed loses its configuration too. `autoremove` and `autoclean` go with names or alone.
    """

    name: Union[str, List[str]] = ""
    state: str = "present"
    update_cache: bool = False
    cache_valid_time: int = 0
    install_recommends: Optional[bool] = None
    hold: Optional[bool] = None
    allow_downgrade: bool = False
    allow_change_held_packages: bool = False
    lock_timeout: int = 600
    deb: Optional[str] = None
    upgrade: Optional[Union[bool, str]] = None
    only_upgrade: bool = False
    default_release: Optional[str] = None
    purge: bool = False
    autoremove: bool = False
    autoclean: bool = False
    fail_on_autoremove: bool = False
    dpkg_options: str = "force-confdef,force-confold"

    def __post_init__(self) -> None:
        if self.state not in _STATES:
            raise ValueError(
                "state is one of %s%s"
                % (", ".join(_STATES), "; build dependencies are installed by name" if "build" in self.state else "")
            )
        if self.upgrade not in (None, *_UPGRADES):
            raise ValueError("upgrade is one of no, yes, safe, full, dist")
        if self.deb is not None and not self.deb.startswith("/"):
            raise ValueError("deb is the absolute path of a file on the host; fetch one with `get_url` before")
        if self.default_release is not None and (not self.default_release or self.default_release[0] == "-"):
            raise ValueError("default_release is the name of a release")
        if not all(option.startswith(("force-", "no-force-", "refuse-")) for option in _dpkg_words(self)):
            raise ValueError("dpkg_options are words such as `force-confold`, with commas between")
        if self.state == "absent" and self.hold:
            raise ValueError("`hold` goes with `state: present` only")
        if self.lock_timeout < 0:
            raise ValueError("lock_timeout is a number of seconds, 0 or more")
        alone = self.update_cache or self.cache_valid_time or self.deb or _UPGRADES[self.upgrade or False]
        if not names(self) and not (alone or self.autoremove or self.autoclean or self.state == "fixed"):
            raise ValueError("`name` is empty")
        for name in names(self):
            bare, sign, version = name.partition("=")
            beginning = version[:-1] if version.endswith("*") else version
            letters = bare + beginning.replace("~", "")
            wrong = not letters[:1].isalnum() or not all(c.isalnum() or c in "+-.:_" for c in letters)
            if wrong or (sign and not beginning):
                raise ValueError("%r is no name of a package" % name)


def names(spec: Spec) -> List[str]:
    """The packages as a list."""
    listed = spec.name.split(",") if isinstance(spec.name, str) else spec.name
    return [name.strip() for name in listed if name.strip()]


@record(frozen=True)
class State:
    """`versions`: installed version by bare name, "" for none. `age`: of the lists in seconds, None for no lists.
    `holder`: who installs just now, in words. `held`: asked only where it matters.
    """

    versions: Dict[str, str] = field(default_factory=dict)
    age: Optional[float] = None
    holder: str = ""
    held: List[str] = field(default_factory=list)
    outdated: List[str] = field(default_factory=list)
    """Of the names, those of which the lists have a newer version; asked with `latest` only."""
    upkeep: Dict[str, List[str]] = field(default_factory=dict)
    """Packages that `upgrade`, `fix`, `autoremove` and `autoclean` would touch, where they are asked for."""
    deb: str = ""
    """NAME=VERSION of the package file."""


def questions(spec: Spec) -> List[Tuple[str, str]]:
    """One `dpkg-query` serves all packages of a batch, another one all that may be held."""
    bare = [_bare(name) for name in names(spec)]
    asked = [("package", name) for name in bare]
    return [*asked, *(("hold", name) for name in bare)] if _holds_matter(spec) else asked


def observe(spec: Spec, system: System) -> State:
    """Ask dpkg."""
    if system.facts.get("os", {}).get("id", "debian") not in ("debian", "ubuntu", "raspbian", "linuxmint", "pop"):
        raise Refusal(
            "packages cannot be installed on this host",
            "it runs `%s`; only Debian's and Ubuntu's packages are supported" % system.facts["os"]["id"],
            "leave this host out, or install the package by another way",
        )
    bare = [_bare(name) for name in names(spec)]
    held = package_holds.held(system, bare) if _holds_matter(spec) else []
    deb = packages.described(system, spec.deb) if spec.deb and spec.deb not in system.pending else ""
    asked = [*bare, *([_bare(deb)] if deb else [])]
    versions = packages.installed(system, asked) if asked else {}
    age = packages.list_age()
    outdated: List[str] = []
    if spec.state == "latest":
        outdated = package_upkeep.outdated(
            system, [name for name in names(spec) if versions[_bare(name)]], _release(spec)
        )
    upkeep = {word: package_upkeep.touched(system, argv) for word, argv in _upkeep(spec).items()}
    return State(versions, age, packages.busy(), held, outdated, upkeep, deb)


def decide(spec: Spec, state: State) -> List[Action]:
    """Nothing, or one run of apt-get for all that differs, and holds; only the wait for others can be stopped.

    Refusal for a downgrade or a change of a held package that the spec does not allow.
    """
    found = _removals(spec, state) if spec.state == "absent" else _installations(spec, state)
    found = _with_lists(spec, state, found + _file(spec, state) + _kept_up(spec, state))
    if not found or not state.holder:
        return found
    waits = {"wait": spec.lock_timeout}
    return [Action(Verb.RUN, "wait until %s is done with dpkg" % state.holder, waits), *found]


def apply(action: Action, system: System, emit: Emit) -> Dict[str, Any]:
    """Wait for whoever installs, run apt-get, its output streamed, or set holds."""
    if "wait" in action.arguments:
        packages.wait_for_lock(emit, action.arguments["wait"])
        return {}
    system.notes["packages_changed"] = True
    if "mark" in action.arguments:
        package_holds.mark(system, action.arguments["mark"], action.arguments["names"], emit)
        return {}
    listed = ["--", *action.arguments["names"]] if action.arguments["names"] else []
    for argv in ["update"] if action.arguments["update"] else [], [*action.arguments["words"], *listed]:
        if argv and (argv == ["update"] or action.arguments["words"]):
            packages.apt(system, argv, emit, action.arguments.get("dpkg") or ())
    return {"cache_updated": action.arguments["update"]}


def fields(spec: Spec, state: State) -> Dict[str, Any]:
    """`versions`: by name, "" where it is not installed; `held`: names, asked with `hold` or a version only."""
    return {"versions": state.versions, "held": state.held}


def _holds_matter(spec: Spec) -> bool:
    return (
        spec.hold is not None
        or spec.state == "absent"
        or any("=" in name for name in names(spec))
        or spec.state == "latest"
    )


def _removals(spec: Spec, state: State) -> List[Action]:
    there = [_bare(name) for name in names(spec) if state.versions.get(_bare(name))]
    if not there:
        return _marks(spec, state, [])
    words = ["purge" if spec.purge else "remove", *_common(spec), *_held_words(spec, state, there)]
    before = "".join("%s %s\n" % (name, state.versions[name]) for name in there)
    return [*_marks(spec, state, []), _action(spec, Verb.REMOVE, words, there, before, None)]


def _installations(spec: Spec, state: State) -> List[Action]:
    lacking = [name for name in names(spec) if not _right(name, state)]
    if spec.only_upgrade:
        lacking = [name for name in lacking if state.versions.get(_bare(name))]
    marks = _marks(spec, state, [_bare(name) for name in lacking])
    if not lacking:
        return marks
    _refuse_downgrades(spec, state, lacking)
    moved = [_bare(name) for name in lacking if state.versions.get(_bare(name))]
    recommends = {None: [], True: ["--install-recommends"], False: ["--no-install-recommends"]}[spec.install_recommends]
    downgrades = ["--allow-downgrades"] if spec.allow_downgrade else []
    words = ["install", *recommends, *downgrades, *_common(spec), *_held_words(spec, state, moved)]
    before = "".join("%s %s\n" % (name, state.versions[name]) for name in moved)
    after = "".join("%s\n" % name.replace("=", " ") for name in lacking)
    action = _action(spec, Verb.INSTALL, words, lacking, before or None, after)
    action.arguments["update"] = _due(spec, state)
    return [*marks, action] if spec.hold is False else [action, *marks]


def _marks(spec: Spec, state: State, installed: List[str]) -> List[Action]:
    """Set or lift holds; what is installed anew is held anew, since apt lifts the hold of what it changes."""
    if spec.hold is None:
        return []
    bare = [_bare(name) for name in names(spec)]
    if spec.hold:
        wrong = [name for name in bare if name not in state.held or name in installed]
    else:
        wrong = [name for name in bare if name in state.held]
    if not wrong:
        return []
    arguments = {"mark": "hold" if spec.hold else "unhold", "names": wrong}
    shown = [("held\n" if name in state.held else "not held\n", name) for name in wrong]
    before = "".join("%s %s" % (name, text) for text, name in shown)
    after = "".join("%s %s" % (name, "held\n" if spec.hold else "not held\n") for name in wrong)
    return [Action(Verb.CHANGE, "hold of %s" % ", ".join(wrong), arguments, before, after, must_finish=True)]


def _refuse_downgrades(spec: Spec, state: State, lacking: List[str]) -> None:
    for name in lacking:
        bare, _, wanted = name.partition("=")
        found = state.versions.get(bare, "")
        if wanted and found and not spec.allow_downgrade and compare(wanted.rstrip("*"), found) < 0:
            raise Refusal(
                "package `%s` would be downgraded" % bare,
                "version %s is installed, %s is wanted" % (found, wanted),
                "ask for the version that is there or a newer one, or set `allow_downgrade: true`",
                fields(spec, state),
            )


def _held_words(spec: Spec, state: State, changed: List[str]) -> List[str]:
    """What apt-get needs in order to change held packages; Refusal where nobody said that it may."""
    held = [name for name in changed if name in state.held]
    if not held or spec.hold is False:
        return []
    if spec.hold is None and not spec.allow_change_held_packages:
        raise Refusal(
            "package `%s` is held" % held[0],
            "version %s is installed and held; somebody does not want it changed" % state.versions[held[0]],
            "set `hold: true` (change it and hold it again), `hold: false` (lift the hold) or "
            "`allow_change_held_packages: true`",
            fields(spec, state),
        )
    return ["--allow-change-held-packages"]


def _right(name: str, state: State) -> bool:
    bare, _, version = name.partition("=")
    found = state.versions.get(bare, "")
    return bool(found) and (not version or fits(version, found)) and name not in state.outdated


def _due(spec: Spec, state: State) -> bool:
    """Whether the lists are to be fetched; `cache_valid_time` alone asks for it too."""
    return bool(spec.update_cache or spec.cache_valid_time) and (
        state.age is None or state.age >= spec.cache_valid_time
    )


def _with_lists(spec: Spec, state: State, found: List[Action]) -> List[Action]:
    """Fresh lists where no installation fetches them: alone, or since only they tell what is the latest.

    What they bring is installed at once, in the same act: a second look would take it for a difference left over.
    """
    if not _due(spec, state) or any(action.arguments.get("update") for action in found):
        return found
    words: List[str] = []
    if spec.state == "latest" and names(spec):
        words = ["install", "--only-upgrade", *_common(spec), *_held_words(spec, state, [])]
    elif _UPGRADES[spec.upgrade or False]:
        words = [*_UPGRADES[spec.upgrade or False], *_common(spec)]
    elif names(spec) or spec.deb:
        return found
    listed = names(spec) if spec.state == "latest" else []
    arguments = {"words": words, "names": listed, "update": True, "dpkg": _dpkg_words(spec)}
    return [Action(Verb.FETCH, "package lists", arguments, must_finish=True), *found]


def _file(spec: Spec, state: State) -> List[Action]:
    """The package file, where another version or none is installed; Refusal for a downgrade."""
    if spec.deb is None or (state.deb and state.versions.get(_bare(state.deb)) == state.deb.partition("=")[2]):
        return []
    if state.deb:
        _refuse_downgrades(spec, state, [state.deb])
    words = ["install", *(["--allow-downgrades"] if spec.allow_downgrade else []), *_common(spec)]
    now = state.versions.get(_bare(state.deb), "")
    before = "%s %s\n" % (_bare(state.deb), now) if now else None
    arguments = {"words": words, "names": [spec.deb], "update": False, "dpkg": _dpkg_words(spec)}
    after = "%s\n" % (state.deb.replace("=", " ") or spec.deb)
    return [Action(Verb.INSTALL, _bare(state.deb) or spec.deb, arguments, before, after, must_finish=True)]


def _upkeep(spec: Spec) -> Dict[str, List[str]]:
    """apt-get's words for what is asked of all packages, in the order in which it is done."""
    found = {}
    if spec.state == "fixed":
        found["fix"] = ["install", "--fix-broken"]
    if _UPGRADES[spec.upgrade or False]:
        found["upgrade"] = _UPGRADES[spec.upgrade or False]
    if spec.autoremove:
        found["autoremove"] = ["autoremove"]
    if spec.autoclean:
        found["autoclean"] = ["autoclean"]
    return found


def _kept_up(spec: Spec, state: State) -> List[Action]:
    found = []
    for word, argv in _upkeep(spec).items():
        touched = state.upkeep.get(word, [])
        if touched:
            arguments = {"words": [*argv, *_common(spec)], "names": [], "update": False, "dpkg": _dpkg_words(spec)}
            verb = Verb.REMOVE if word in ("autoremove", "autoclean") else Verb.INSTALL
            shown = "".join(name + "\n" for name in touched)
            before, after = (shown, None) if verb is Verb.REMOVE else (None, shown)
            found.append(Action(verb, "%s of packages" % word, arguments, before, after, must_finish=True))
    return found


def _release(spec: Spec) -> List[str]:
    return ["--target-release=" + spec.default_release] if spec.default_release else []


def _common(spec: Spec) -> List[str]:
    return [
        *_release(spec),
        *(["--purge"] if spec.purge else []),
        *(["--auto-remove"] if spec.autoremove else []),
        *(["--no-remove"] if spec.fail_on_autoremove else []),
        *(["--only-upgrade"] if spec.only_upgrade else []),
    ]


def _dpkg_words(spec: Spec) -> List[str]:
    return [word.strip() for word in spec.dpkg_options.split(",") if word.strip()]


def _action(
    spec: Spec, verb: Verb, words: List[str], listed: List[str], before: Optional[str], after: Optional[str]
) -> Action:
    arguments = {"words": words, "names": listed, "update": False, "dpkg": _dpkg_words(spec)}
    return Action(verb, ", ".join(_bare(name) for name in listed), arguments, before, after, must_finish=True)


def _bare(name: str) -> str:
    return name.partition("=")[0]
