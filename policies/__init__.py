"""The language both sides speak: documents, decisions, permits, receipts, the gRPC contract.

Imports nothing else of the project.
"""
