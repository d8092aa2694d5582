"""Invented people, texts and general knowledge, made by seed."""
