"""The operator's side: governance service, round loop, exchange with Flower."""
