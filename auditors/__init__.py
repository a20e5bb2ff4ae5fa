"""Offline verification of a space's log. Imports policies and ledger only."""
