"""Changes of weights without training; a file each, which registers itself."""
