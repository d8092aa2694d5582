"""Figures and tables for papers, from the same charts and rows as the page.

Figures become SVG, PNG and PDF files with all colours written out, as on light paper; tables become
Markdown and LaTeX (booktabs) with the keys of the stages that each row comes from in comments.
"""

from lacuna.report.paper.files import FORMATS, export

__all__ = ["FORMATS", "export"]
