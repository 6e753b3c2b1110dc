"""Edits of pickles."""

import pickle


def change(path, edit):
    """Applies `edit` to the value in a pickle; what it returns replaces the value."""
    value = pickle.loads(path.read_bytes())
    edited = edit(value)
    path.write_bytes(pickle.dumps(value if edited is None else edited))
