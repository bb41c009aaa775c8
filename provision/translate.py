"""Arguments of tasks as specs of resources: free forms, aliases, files, locks, and validation with places.

Owns the way from what the operator wrote to what the agent reads. Must not decide whether or when a task runs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from collections.abc import Mapping as Map
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import ValidationError

from provision import modules
from provision.agent.protocol import INLINE_LIMIT
from provision.errors import Mark, ProvisionError
from provision.modules import MODULES
from provision.playbook import Task
from provision.source import Mapping, Template, load, nearest, read_text
from provision.variables import HostView, Scope

__all__ = ["Built", "Translated", "Translator", "arguments_of", "check", "find_file"]

_FREE_OPTIONS = ("chdir", "creates", "removes", "executable")
_MODE_HINT = 'write it as text, such as "0644" or "u=rw,go=r"'
Specify = Callable[[Any, dict[str, Any], Map[str, Any]], tuple[dict[str, Any], Map[str, Any]]]


@dataclass(frozen=True, slots=True)
class Translated:
    """What goes to the agent; `blobs` is content by SHA-256."""

    resource: str
    spec: dict[str, Any]
    blobs: Map[str, bytes | Path] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Built:
    """An environment that the play builds on a host."""

    name: str
    root: str
    lock: str
    keep: int = 2
    takeover: bool = False


def arguments_of(word: str, value: Any, where: Mark) -> Mapping:
    """A task's arguments as a mapping with places, free forms and aliases resolved; raises ProvisionError."""
    free = MODULES[word].free_form if word in MODULES else "free_form" if word == "meta" else None
    if isinstance(value, Mapping):
        return _renamed(word, value)
    result = Mapping(where.file, (where.line, where.column))
    if value is None:
        return result
    if not isinstance(value, str):
        raise ProvisionError(f"`{word}` needs a mapping of its options", where=where, cause=f"it is {value!r}")
    if free is None:
        raise ProvisionError(
            f"`{word}` needs a mapping of its options",
            where=where,
            cause=f"it is the text `{value}`",
            hint="write one option a line, `option: value`",
        )
    text, found = _free_options(word, value)
    for name, item in {free: text, **found}.items():
        result.put(name, item, (where.line, where.column) * 2)
    return result


def _free_options(word: str, value: str) -> tuple[str, dict[str, str]]:
    """`command: make install creates=/x chdir=/y`: what Ansible takes out of the text."""
    if word == "meta" or not any(f"{name}=" in value for name in _FREE_OPTIONS):
        return value, {}
    kept, found = [], {}
    for part in value.split(" "):
        name, sign, rest = part.partition("=")
        if sign and name in _FREE_OPTIONS:
            found[name] = _same_kind(value, rest)
        else:
            kept.append(part)
    return _same_kind(value, " ".join(kept).strip()), found


def _same_kind(origin: str, text: str) -> str:
    if isinstance(origin, Template) and "{" in text:
        return Template(text, origin.mark, text)
    return text


def _renamed(word: str, value: Mapping) -> Mapping:
    aliases = MODULES[word].aliases if word in MODULES else {}
    result = Mapping(value.file, (value.mark.line, value.mark.column))
    for key in value:
        name = aliases.get(key, key)
        if name in result:
            raise ProvisionError(
                f"`{word}` has `{name}` twice", where=value.key_mark(key), cause=f"`{key}` is another word for `{name}`"
            )
        result.put(name, value[key], value.places(key), value.texts.get(key))
    return result


def check(word: str, arguments: Mapping) -> Iterator[ProvisionError]:
    """What is wrong with arguments as written: options that do not exist, and values without a template."""
    known = modules.options(word)
    if word == "set_fact":
        return
    failed = False
    for key in arguments:
        error = _unknown_option(word, key, arguments, known) or _wrong_value(word, key, arguments)
        if error:
            failed = True
            yield error
    for name in MODULES[word].required if word in MODULES else ():
        if name not in arguments:
            failed = True
            yield ProvisionError(f"`{word}` needs `{_written(word, name)}`", where=arguments.mark)
    if not failed and word in MODULES and not _templated(arguments) and not MODULES[word].extra:
        yield from _limits(word, arguments)


def _limits(word: str, arguments: Mapping) -> Iterator[ProvisionError]:
    try:
        _validated(word, dict(arguments), arguments, None)
    except ProvisionError as error:
        yield error


def _unknown_option(word: str, key: Any, arguments: Mapping, known: Map[str, Any]) -> ProvisionError | None:
    if key in known:
        return None
    aliases = MODULES[word].aliases if word in MODULES else {}
    hint = nearest(str(key), {*known, *aliases}) or "it has " + ", ".join(f"`{name}`" for name in sorted(known))
    return ProvisionError(f"`{word}` has no option `{key}`", where=arguments.key_mark(key), hint=hint)


def _wrong_value(word: str, key: Any, arguments: Mapping) -> ProvisionError | None:
    if _templated(arguments[key]):
        return None
    try:
        _value(word, key, arguments[key], arguments)
    except ProvisionError as error:
        return error
    return None


def _templated(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_templated(item) for item in value.values())
    if isinstance(value, list):
        return any(_templated(item) for item in value)
    return isinstance(value, Template)


def _value(word: str, key: str, value: Any, arguments: Mapping) -> Any:
    """One option's value, validated; numbers become text where text is meant, never the other way round."""
    kind = modules.options(word)[key]
    if key == "mode" and isinstance(value, int | float) and not isinstance(value, bool):
        raise _mode(value, arguments)
    text = _texted(kind, value, arguments.texts.get(key))
    try:
        return modules.validators(word)[key].validate_python(text)
    except ValidationError as error:
        raise _mistyped(word, key, value, error, arguments) from None


def _mode(value: Any, arguments: Mapping) -> ProvisionError:
    return ProvisionError(
        f"the mode `{arguments.texts.get('mode', value)}` is a number",
        where=arguments.value_mark("mode"),
        cause="whether it is octal cannot be told",
        hint=_MODE_HINT,
    )


def _texted(kind: Any, value: Any, text: str | None = None) -> Any:
    """Numbers as text where the field is text: as they were written, if that is known."""
    arguments = [part for part in get_args(kind) if part is not type(None)]
    origin = get_origin(kind)
    if isinstance(value, dict) and origin is dict:
        texts = value.texts if isinstance(value, Mapping) else {}
        return {str(name): _texted(arguments[1], item, texts.get(name)) for name, item in value.items()}
    if isinstance(value, list) and origin is list:
        return [_texted(arguments[0], item) for item in value]
    if isinstance(value, list | dict) and origin is not None:
        return next(
            (
                _texted(part, value, text)
                for part in arguments
                if get_origin(part) is type(value) or get_origin(part) in (list, dict)
            ),
            value,
        )
    if isinstance(value, int | float) and not isinstance(value, bool) and _wants_text(kind, arguments):
        return text if text is not None else str(value)
    return value


def _wants_text(kind: Any, arguments: list[Any]) -> bool:
    return kind is str or (str in arguments and not {int, float} & set(arguments))


def _mistyped(word: str, key: str, value: Any, error: ValidationError, arguments: Mapping) -> ProvisionError:
    first = error.errors(include_url=False)[0]
    written = arguments.texts.get(key)
    hint = ""
    if isinstance(value, bool):
        hint = f'quote it if text is meant: "{written or value}"'
    elif isinstance(value, str):
        hint = "a template can give it with `| int` or `| bool`" if "string" not in first["msg"] else ""
    return ProvisionError(
        f"`{_written(word, key)}` of `{word}` has the wrong type",
        where=arguments.value_mark(key),
        cause=f"it is `{written if written is not None else value}`; "
        + first["msg"].replace("Input should be", "it should be").replace("dictionary", "mapping"),
        hint=hint,
    )


def _written(word: str, name: str) -> str:
    """Ansible's word for an option, where people know it by that."""
    return "dest" if name == "path" and word in ("copy", "template") else name


def _validated(word: str, values: dict[str, Any], arguments: Mapping, where: Mark | None) -> dict[str, Any]:
    """Values in their types, within the limits that the agent's Spec states."""
    checked = {key: _value(word, key, value, arguments) for key, value in values.items()}
    return _within_limits(word, MODULES[word].resource, checked, where or arguments.mark)


def _within_limits(word: str, resource: str, values: dict[str, Any], where: Mark) -> dict[str, Any]:
    try:
        modules.spec_class(resource)(**values)
    except TypeError as error:
        missing = str(error).rpartition(":")[2].strip().replace("'", "`")
        raise ProvisionError(f"`{word}` needs {missing}", where=where) from None
    except ValueError as error:
        raise ProvisionError(f"`{word}` cannot be done as it is written", where=where, cause=str(error)) from None
    return values


def find_file(task: Task, playbook_directory: Path, kind: str, name: str) -> Path:
    """A file that a task names: the role's `kind` folder, the role, then the same beside the playbook."""
    bases = [task.directory, playbook_directory]
    tried = [Path(name)] if Path(name).is_absolute() else [base / part / name for base in bases for part in (kind, "")]
    for path in dict.fromkeys(tried):
        if path.exists():
            return path
    raise ProvisionError(
        f"there is no file `{name}`",
        where=task.arguments.value_mark("src" if "src" in task.arguments else "file"),
        context=f'task "{task.title}"',
        cause="looked for " + ", ".join(f"`{path}`" for path in dict.fromkeys(tried)),
        hint=_near_file(tried),
    )


def _near_file(tried: list[Path]) -> str:
    found = {path.name for each in tried if each.parent.is_dir() for path in each.parent.iterdir()}
    return nearest(tried[0].name, found)


class Translator:
    """Translates rendered arguments; keeps what hosts share: contents of files, names of environments.

    `locks` maps an environment.yml (resolved path) to its lock. `specify` makes of a lock, options and the host's
    variables the spec and blobs of `conda_env`.
    """

    def __init__(self, locks: Map[Path, Any] | None = None, specify: Specify | None = None) -> None:
        self.locks = dict(locks or {})
        self._specify = specify or specify_environment
        self._contents: dict[Path, tuple[str | None, str]] = {}

    def translate(
        self,
        task: Task,
        values: dict[str, Any],
        scope: Scope,
        playbook_directory: Path,
        built: Map[tuple[str, str], Built],
    ) -> Translated:
        """The spec of one task's rendered arguments; raises ProvisionError with the place."""
        word = task.module
        checked = {key: _value(word, key, value, task.arguments) for key, value in values.items()}
        resource, spec = MODULES[word].resource, checked
        blobs: Map[str, bytes | Path] = {}
        if word in ("copy", "template"):
            spec, blobs = self._content(task, checked, scope, playbook_directory)
        elif word == "file" and checked.get("state") == "link":
            resource, spec = "link", _link(task, checked)
        elif word == "file":
            spec = _without_source(task, checked)
        elif word == "conda_env":
            spec, blobs = self._environment(task, checked, scope, playbook_directory)
        elif word == "app":
            spec = _app(checked, scope, built)
        return Translated(resource, _within_limits(word, resource, spec, task.arguments.mark), blobs)

    def _content(
        self, task: Task, values: dict[str, Any], scope: Scope, playbook_directory: Path
    ) -> tuple[dict[str, Any], dict[str, bytes | Path]]:
        source, content = values.pop("src", None), values.pop("content", None)
        if (source is None) == (content is None):
            raise ProvisionError(f"`{task.module}` needs `src` or `content`, not both", where=task.arguments.mark)
        if source is not None and values["path"].endswith("/"):
            values["path"] += Path(source).name
        values["state"] = "file"
        if source is None:
            return _inline(values, content if isinstance(content, str) else json.dumps(content))
        if task.module == "template":
            path = find_file(task, playbook_directory, "templates", source)
            return _inline(values, scope.renderer.text(read_text(path), str(path), scope))
        path = find_file(task, playbook_directory, "files", source)
        return self._copied(task, values, path)

    def _copied(self, task: Task, values: dict[str, Any], path: Path) -> tuple[dict[str, Any], dict[str, bytes | Path]]:
        if path.is_dir():
            raise ProvisionError(
                "`copy` of a directory is not supported yet",
                where=task.arguments.value_mark("src"),
                cause=f"`{path}` is a directory",
            )
        if path not in self._contents:
            self._contents[path] = _read_content(path)
        text, digest = self._contents[path]
        if text is not None:
            return values | {"content": text}, {}
        return values | {"content_blob": digest}, {digest: path}

    def _environment(
        self, task: Task, options: dict[str, Any], scope: Scope, playbook_directory: Path
    ) -> tuple[dict[str, Any], Map[str, Any]]:
        if options.get("state") == "absent":
            return {key: options[key] for key in ("name", "root", "state") if key in options}, {}
        path = find_file(task, playbook_directory, "files", options.pop("file", "environment.yml"))
        lock = self.locks.get(path.resolve())
        if lock is None:
            raise ProvisionError(
                f"there is no lock of `{path}`", where=task.arguments.mark, hint="`provision lock` makes one"
            )
        options.setdefault("name", environment_name(path))
        options["post_link_ignore"] = (options.pop("post_link", None) or {}).get("ignore", [])
        options.pop("keep", None)
        return self._specify(lock, options, HostView(scope))


def environment_name(path: Path) -> str:
    """The name that an environment.yml gives itself; raises ProvisionError when it has none."""
    content = load(path)
    name = content.get("name") if isinstance(content, Mapping) else None
    if not isinstance(name, str):
        raise ProvisionError(f"`{path}` has no `name`", hint="its first line is `name: what-it-is-for`")
    return name


def _read_content(path: Path) -> tuple[str | None, str]:
    """Small text as it is, else None; and the SHA-256."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
        size = file.tell()
    try:
        return (path.read_bytes().decode() if size <= INLINE_LIMIT else None), digest.hexdigest()
    except UnicodeDecodeError:
        return None, digest.hexdigest()


def _inline(values: dict[str, Any], text: str) -> tuple[dict[str, Any], dict[str, bytes | Path]]:
    data = text.encode()
    if len(data) <= INLINE_LIMIT:
        return values | {"content": text}, {}
    digest = hashlib.sha256(data).hexdigest()
    return values | {"content_blob": digest}, {digest: data}


def _link(task: Task, values: dict[str, Any]) -> dict[str, Any]:
    if "src" not in values:
        raise ProvisionError("`file` with `state: link` needs `src`", where=task.arguments.mark)
    refused = sorted(set(values) - {"path", "src", "state", "force", "follow"})
    if refused:
        raise ProvisionError(
            f"`{refused[0]}` does not go with `state: link`",
            where=task.arguments.key_mark(refused[0]),
            hint="a link has no mode or owner of its own here",
        )
    return {"path": values["path"], "target": values["src"]}


def _without_source(task: Task, values: dict[str, Any]) -> dict[str, Any]:
    if "src" in values:
        raise ProvisionError("`src` goes with `state: link` only", where=task.arguments.key_mark("src"))
    return values


def _app(values: dict[str, Any], scope: Scope, built: Map[tuple[str, str], Built]) -> dict[str, Any]:
    """An app starts on the environment that this play builds, by its lock; else on what the link points at."""
    values = {"root": root_of(scope)} | values
    own = built.get((values["root"], values.get("environment", "")))
    return values | {"lock": own.lock} if own else values


def root_of(scope: Scope) -> str:
    """Where environments live on a host when a task does not say."""
    root = scope.find("conda_root")
    return root if isinstance(root, str) else "/opt/conda"


def specify_environment(
    lock: Any, options: dict[str, Any], variables: Map[str, Any]
) -> tuple[dict[str, Any], Map[str, Any]]:
    """The spec and content of `conda_env`, with the mirrors that the host's variables name."""
    from provision.conda import ship
    from provision.conda.mirrors import Settings

    return ship.specify(lock, options, Settings.read(variables, Path()), variables.get("facts"))
