"""How fast and how small the two costly things are: a masked training step, and an evaluation."""
