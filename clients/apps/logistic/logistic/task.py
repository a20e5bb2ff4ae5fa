"""The model: one row of coefficients a class, a single row where there are two."""

import numpy as np
from flwr.app import Array, ArrayRecord
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import log_loss


def regression(arrays: ArrayRecord, run_config: dict) -> SGDClassifier:
    """A logistic regression that goes on from `coef` and `intercept`.

    It is fitted by gradient steps, so that a node that lacks a class can take part, too.
    """
    model = SGDClassifier(
        loss="log_loss",
        alpha=float(run_config["penalty"]),
        learning_rate="constant",
        eta0=float(run_config["learning-rate"]),
    )
    model.classes_ = np.arange(int(run_config["classes"]))
    model.coef_ = arrays["coef"].numpy().copy()
    model.intercept_ = arrays["intercept"].numpy().copy()
    model.n_features_in_ = model.coef_.shape[1]
    return model


def to_scale(features: np.ndarray) -> np.ndarray:
    """Each feature about its mean, by the rows at hand: the nodes need not agree on anything."""
    wide = features.astype(np.float64)
    if len(wide) == 0:
        return wide
    return (wide - wide.mean(axis=0)) / np.maximum(wide.std(axis=0), 1e-6)


def fit(model: SGDClassifier, features: np.ndarray, labels: np.ndarray, *, epochs: int) -> None:
    """Pass over the rows `epochs` times, in place."""
    for _ in range(epochs):
        model.partial_fit(features, labels, classes=model.classes_)


def figures(model: SGDClassifier, features: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Loss and accuracy; zeros where there are no rows."""
    if len(labels) == 0:
        return 0.0, 0.0
    scores = model.predict_proba(features)
    loss = log_loss(labels, scores, labels=model.classes_)
    return float(loss), float((scores.argmax(axis=1) == labels).mean())


def initial_arrays(run_config: dict) -> ArrayRecord:
    """All zero: every class is as likely as any other."""
    classes = int(run_config["classes"])
    rows = 1 if classes == 2 else classes
    coef = np.zeros((rows, int(run_config["features"])))
    return ArrayRecord({"coef": Array(coef), "intercept": Array(np.zeros(rows))})
