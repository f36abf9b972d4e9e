"""The documentation's application: a service that publishes, and three modules that it does not import."""
