"""`provision adopt`: a server that people built by hand, as an inventory, a playbook and roles."""
