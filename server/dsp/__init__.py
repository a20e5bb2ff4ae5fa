"""The Dataspace Protocol 2025-1: catalogue, negotiations and transfers over HTTP.

machine.py, negotiation.py, transfer.py   who may move what from which state to which; no I/O
messages.py, documents.py                 what comes in, strictly; what goes out, by the schemas
offers.py, catalogue.py, listing.py       what owners publish, and how it is shown
negotiations.py, owner_negotiations.py    the two parties' steps, each of which logs first
transfers.py, transfer_steps.py           (docs/adr/0005): by a party, and by a run
effects.py, store.py, views.py            what entries mean for the registry, and reading it
http.py, body.py, endpoint.py, tokens.py  the binding, its service, and who calls
callbacks.py                              telling consumers
client.py, consumer.py                    the consumer's side
"""
