"""The sources of the lab's applications: git repositories that the lab makes and serves over HTTP.

The same sources give the same commit in every lab. git's plain HTTP serves them, which knows no shallow clones.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from provision.lab.processes import run

__all__ = ["APPS", "App", "build", "commit", "commits"]


@dataclass(frozen=True, slots=True)
class App:
    """One application: its repository's name, its program, its port, the inventory variables of its source."""

    name: str
    program: str
    port: int
    variable: str
    version: str


APPS = (
    App("img2video", "app.py", 7860, "img2video_repo", "img2video_version"),
    App("sd-webui", "launch.py", 7861, "sd_webui_repo", "sd_webui_version"),
    App("llama-inference", "server.py", 8080, "llama_repo", "llama_version"),
)
IGNORED = "/assets\n/outputs\n/models\n__pycache__/\n*.log\n"
IDENTITY = {
    "GIT_AUTHOR_NAME": "lab",
    "GIT_AUTHOR_EMAIL": "lab@lab.invalid",
    "GIT_COMMITTER_NAME": "lab",
    "GIT_COMMITTER_EMAIL": "lab@lab.invalid",
    "GIT_AUTHOR_DATE": "2024-03-01T00:00:00Z",
    "GIT_COMMITTER_DATE": "2024-03-01T00:00:00Z",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
}


def build(www: Path) -> None:
    """Make the repositories www/git/NAME.git that are not there yet, each with one commit on `main`."""
    for app in APPS:
        bare = www / "git" / f"{app.name}.git"
        if bare.exists():
            continue
        aside = bare.with_name(f"{app.name}.aside")
        shutil.rmtree(aside, ignore_errors=True)
        run(["git", "init", "--quiet", "--bare", "--initial-branch=main", str(aside)], environment=IDENTITY)
        commit(aside, sources(app), "Sources of the lab's application")
        aside.rename(bare)


def sources(app: App) -> dict[str, str]:
    """The files of an application's repository."""
    template = resources.files("provision.lab").joinpath("app.py.tmpl").read_text()
    program = template.replace("@NAME@", app.name).replace("@PORT@", str(app.port))
    readme = f"# {app.name}\n\nA stand-in that the lab of provision serves in place of the real application.\n"
    return {app.program: program, "README.md": readme, ".gitignore": IGNORED}


def commits(www: Path) -> dict[str, str]:
    """What `main` of each repository is at, by the inventory variable that pins it."""
    heads = {app.version: www / "git" / f"{app.name}.git" / "refs/heads/main" for app in APPS}
    return {variable: path.read_text().strip() for variable, path in heads.items()}


def commit(bare: Path, files: Mapping[str, str], message: str) -> str:
    """Add or replace files on `main` of a served repository by one commit; gives its id."""
    work = bare.with_name(bare.name + ".work")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    git = ["git", f"--git-dir={bare}", f"--work-tree={work}", "-c", "core.bare=false"]
    for name, text in files.items():
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text(text)
    run([*git, "add", "--force", "--", *files], environment=IDENTITY)
    run([*git, "commit", "--quiet", f"--message={message}"], environment=IDENTITY)
    run(["git", f"--git-dir={bare}", "update-server-info"], environment=IDENTITY)
    shutil.rmtree(work)
    return run(["git", f"--git-dir={bare}", "rev-parse", "main"], environment=IDENTITY).strip()
