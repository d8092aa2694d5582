"""Ray runs the stages. The only package that imports ray."""
