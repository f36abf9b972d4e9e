"""An application to be killed: handlers that leave a line on the disk, and a process that publishes without end."""
