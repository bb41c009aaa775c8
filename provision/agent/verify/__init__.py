"""Looks for `verify`: each module looks at one rung of a host and says what it found; nothing here writes."""
