"""`provision init`: a project to begin with. What it writes is in `project/`, as it is written."""
