"""Offline HTML pages: one file that needs nothing else and runs no script. Whatever is put in is escaped.

Owns the frame that all pages share (`page.html.j2`) and the writing of them.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, PrefixLoader, StrictUndefined, Template

from provision.errors import ProvisionError
from provision.whole_file import write_whole

__all__ = ["template", "write_page"]


@cache
def template(package: str, name: str) -> Template:
    """The page's template of a package; it extends `frame/page.html.j2`."""
    loader = PrefixLoader(
        {"frame": PackageLoader("provision.report", ""), "own": PackageLoader(package, "")},
    )
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template(f"own/{name}")


def write_page(path: Path, text: str) -> None:
    """Replace the file at `path`; raises ProvisionError where it cannot be written."""
    try:
        write_whole(path, text, mode=0o644)
    except OSError as error:
        raise ProvisionError(
            f"cannot write the report to `{path}`", cause=str(error), hint="--html names a file"
        ) from None
