"""The marks by which conda (CEP 22) and pip (PEP 668) leave an environment alone.

Texts and paths only; must not write.
"""

from __future__ import annotations

import os
from typing import Dict, List

__all__ = ["MESSAGE", "marks", "python_markers"]

MESSAGE = "base is managed by provision; work in an environment of your own: conda create -n NAME"


def marks(prefix: str, markers: List[str], message: str) -> Dict[str, str]:
    """The text of each mark by its path; `markers` are those for pip (`python_markers`)."""
    told = message.replace("\\", "\\\\").replace('"', '\\"')
    managed = "[externally-managed]\nError=%s\n" % message
    return {
        os.path.join(prefix, "conda-meta", "frozen"): '{"message": "%s"}\n' % told,
        **dict.fromkeys(markers, managed),
    }


def python_markers(prefix: str) -> List[str]:
    """Where the prefix's own pythons look for EXTERNALLY-MANAGED."""
    folder = os.path.join(prefix, "lib")
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    pythons = [name for name in names if name.startswith("python3.") and os.path.isdir(os.path.join(folder, name))]
    return [os.path.join(folder, name, "EXTERNALLY-MANAGED") for name in pythons]
