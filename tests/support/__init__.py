"""Shared by the suites: servers, logs, processes, terminals, and kill points."""
