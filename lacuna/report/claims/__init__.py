"""The published claims, each judged by a rule fixed before any result."""

from lacuna.registry import import_methods
from lacuna.report.claims.family import CLAIMS, Claims, Evidence, Family, families
from lacuna.report.claims.judge import headline, judge

__all__ = ["CLAIMS", "Claims", "Evidence", "Family", "families", "headline", "judge"]

import_methods("lacuna.report.claims")
