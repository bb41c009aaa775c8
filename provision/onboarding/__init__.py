"""Hosts come and go: what is done to a host, and to the inventory's file, when it joins or leaves."""
