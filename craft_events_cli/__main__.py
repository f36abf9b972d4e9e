"""`python -m craft_events_cli`."""

from craft_events_cli.main import main

main()
