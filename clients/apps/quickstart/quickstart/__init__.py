"""A network in the manner of Flower's PyTorch quickstart."""
