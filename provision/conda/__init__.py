"""Environments: read environment.yml, lint it, lock it once on the control node, say what a host needs of the lock."""
