"""The transparency log: tree, notes, store, proofs. Imports nothing else of the project."""
