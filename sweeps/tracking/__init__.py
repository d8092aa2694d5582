"""MLflow: a view of what the store holds. The only package that imports mlflow."""
