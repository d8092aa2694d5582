"""What a user may type: typed keys, defaults, named configurations."""
