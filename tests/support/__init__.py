"""What several test files share: this checkout's folders, and small models, stores and reports."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""This checkout."""
PATHS = [str(ROOT), str(ROOT / "tests")]
"""What a process of its own must find: our packages, and these helpers."""
SHARED = ROOT.parent / "shared"
"""Real data and recorded numbers beside the checkout; a fresh clone has none."""
