"""Optional inspections: membership inference and representations by layer."""
