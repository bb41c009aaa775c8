"""A throw-away fleet of real hosts on this machine; `fleet.Lab` is its API, `cli` its commands.

Nothing outside this package and the tests may import it: the tool treats a lab as any other inventory.
"""
