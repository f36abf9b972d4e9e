"""The command line `craft-events`."""

__version__ = "0.1.0"
