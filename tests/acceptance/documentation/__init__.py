"""The documentation's application: a service that publishes, and three modules that react without being known to it."""
