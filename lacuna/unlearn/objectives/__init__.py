"""Losses that training minimises; a file each, which registers itself."""
