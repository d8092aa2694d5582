"""The configuration tree; see config.yaml."""
