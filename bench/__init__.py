"""Measurements behind every figure in the docs; one command each."""
