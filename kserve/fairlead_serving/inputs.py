"""What a model refuses."""


class InputInvalidError(ValueError):
    """Columns given to a model do not fit its inputs; the text is fit for a client."""
