"""The core of Craft Easy: documents and events."""
