"""HTML pages: one file each, no script, nothing loaded from elsewhere."""

from lacuna.report.html.environment import Section, document, figures, folded, lines, table
from lacuna.report.html.page import page

__all__ = ["Section", "document", "figures", "folded", "lines", "page", "table"]
