"""Attacks, a file each, which registers itself."""
