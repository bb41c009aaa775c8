"""Saved plans: what `plan --out FILE` writes, and how `apply FILE` keeps to it."""
