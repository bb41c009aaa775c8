"""`--explain HOST TASK`: why a task would run on a host or not, and where each of its variables comes from.

Owns the explanation as data, and its text. Contacts no host: what only a run can know is said to be so.
"""
