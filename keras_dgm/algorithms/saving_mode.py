"""Whether a file is being written for a preset (the model alone) or for a resume (all state)."""

import contextlib

_model_only = False


def weights_of_the_model_only():
    """True while a preset is written or read: learning state stays out."""
    return _model_only


@contextlib.contextmanager
def preset():
    """Within this context, `save_weights` and `load_weights` leave learning state out."""
    global _model_only
    before, _model_only = _model_only, True
    try:
        yield
    finally:
        _model_only = before
