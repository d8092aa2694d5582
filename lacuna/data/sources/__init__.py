"""Where facts come from; a file each, which registers itself."""
