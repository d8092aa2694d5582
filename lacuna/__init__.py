"""Lacuna: plant facts where you know, unlearn them, and see what is left.

    data -> model -> region -> train -> inject -> localize -> unlearn -> evaluate -> attack
         -> significance -> report

A stage imports only what stands before it. `lacuna.pipeline` is the table of contents.
"""

__version__ = "0.1.0"
