"""What travels to a host: standard library only, Python 3.8 and newer, relative imports.

Must not import anything of the control node.
"""
