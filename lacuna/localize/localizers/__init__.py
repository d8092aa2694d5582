"""Methods that rank value vectors or single weights; a file each, which registers itself."""
