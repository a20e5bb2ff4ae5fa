"""Tabular classification as a Flower app."""
