"""The definition of auto-correlation as loops."""

import numpy as np


def fitted(series, length):
    """The series of another length, step by step."""
    out = np.zeros((len(series), length, *series.shape[2:]))
    out[:, : series.shape[1]] = series[:, :length]
    return out


def loops(query, key, value, count, *, shared=False, direction=1):
    """The definition, lag by lag and step by step."""
    length = query.shape[1]
    key, value = fitted(key, length), fitted(value, length)
    found = np.zeros(query.shape)
    for lag in range(length):
        for step in range(length):
            found[:, lag] += query[:, (step + lag) % length] * key[:, step]
    mean = found.mean(axis=(2, 3))
    out = np.zeros(value.shape)
    for row in range(len(query)):
        order = np.argsort(-(mean.mean(0) if shared else mean[row]), kind="stable")
        lags = order[:count]
        weights = np.exp(mean[row, lags] - mean[row, lags].max())
        weights /= weights.sum()
        for lag, weight in zip(lags, weights, strict=True):
            for step in range(length):
                out[row, step] += weight * value[row, (step + direction * lag) % length]
    return out, found
