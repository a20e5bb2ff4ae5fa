"""The benchmark's app: an MLP 64-128-10 on scikit-learn's digits."""
