"""`provision verify`: is every host what the playbook says, and does it really work?

The same engine as `apply` without its apply: `gather.py` runs the plays in check mode and sends looks (`probes.py`),
`ladder.py` judges what was found, the other modules show it. Must not change a host.
"""
