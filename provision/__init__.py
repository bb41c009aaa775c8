"""Provision GPU servers over SSH: locked conda environments, shared data and the apps that run in them."""

__version__ = "0.1.0"
