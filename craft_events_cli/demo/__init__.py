"""The demo: a small shop, the process that publishes its events, and the script that runs them."""
