"""Orchestration: Hydra composes a study, a planner names stages, Ray runs them, MLflow records."""
