"""HTML pages: one file each, nothing loaded from elsewhere.

All is there without script; with it tables can be copied, and figures and tables filtered.
"""

from lacuna.report.html.environment import Section, document, figures, folded, lines, table
from lacuna.report.html.page import page

__all__ = ["Section", "document", "figures", "folded", "lines", "page", "table"]
