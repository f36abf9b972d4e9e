"""The demo: a small shop, the process that publishes its events, and the story that is told with them."""
