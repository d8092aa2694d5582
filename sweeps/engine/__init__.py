"""Runs the stages of a study: on Ray (`on_ray`), or in this process (`local`)."""
