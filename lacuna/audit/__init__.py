"""Audit of any before and after: what changed in the weights, where, and whether it comes back.

`stream` opens checkpoints, `change` counts what differs, `precision` says how well a region
explains it (`rounded`: in a smaller dtype), `behaviour` asks and attacks the models.

Imports nothing, so that the command answers a mistyped option before torch is loaded.
"""
