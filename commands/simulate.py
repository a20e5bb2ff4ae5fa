"""`tds simulate` (placeholder until wired)."""


def simulate() -> None:
    """x"""
