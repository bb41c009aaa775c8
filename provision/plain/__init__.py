"""What runs beside supervisor on a host without systemd, and how it gets there.

keep.py, launch.py and ask.py travel (standard library only, Python 3.8 and newer, no imports of each other);
archive.py packs them on the control node.
"""
