"""`python -m craft_events_cli`."""

from craft_events_cli.app import main

main()
