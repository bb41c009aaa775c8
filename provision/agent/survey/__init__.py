"""What a server that people built by hand holds: processes, environments, links. Reads only; must not judge."""
