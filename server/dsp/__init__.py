"""The Dataspace Protocol 2025-1: catalogue, negotiations and transfers over HTTP.

machine.py, negotiation.py, transfer.py   who may move what from which state to which; no I/O
messages.py, documents.py                 what comes in, strictly; what goes out, by the schemas
negotiations.py, transfers.py             the operations, each of which logs first (docs/adr/0005)
http.py, endpoint.py                      the binding, and its service
client.py                                 the consumer's side
"""
