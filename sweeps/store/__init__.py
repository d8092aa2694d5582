"""Finished stages: whole, once per key, on a folder or a URL."""
