"""Logistic regression with scikit-learn as a Flower app."""
