"""An application to kill: handlers that write to a file, and a process that publishes without end."""
