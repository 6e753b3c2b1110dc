"""What can go wrong between a client and a server."""


class ServingError(Exception):
    """A request without an answer."""


class Unavailable(ServingError):
    """The server is not there, not ready or too busy; asking again may help."""

    def __init__(self, message: str, *, retry_after: float = 0.0) -> None:
        """Initializes the error.

        Args:
          message: What happened.
          retry_after: Seconds that the server wants to be left alone.
        """
        super().__init__(message)
        self.retry_after = retry_after


class DeadlineExceeded(ServingError):
    """There was no answer in time."""


class InvalidRequest(ServingError):
    """The model cannot answer this request, now or later."""


class InvalidAddress(InvalidRequest, ValueError):
    """No server can be at this address."""


class NotFound(ServingError):
    """The server does not have the model, the version or the label."""


class ServerError(ServingError):
    """The server failed, or its answer is none of TensorFlow Serving's."""
