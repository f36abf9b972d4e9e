"""What the suites share: servers, logs, processes, terminals, and how processes are killed."""
