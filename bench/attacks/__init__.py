"""Attacks on what the aggregator sees and on the released model; `bench/leakage.py` runs them."""
