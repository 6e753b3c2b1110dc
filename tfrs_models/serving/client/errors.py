"""What can go wrong between a client and a server."""


class ServingError(Exception):
    """A request without an answer."""


class Unavailable(ServingError):
    """The server is not there, not ready or too busy; asking again may help."""


class DeadlineExceeded(ServingError):
    """There was no answer in time."""


class InvalidRequest(ServingError):
    """The model cannot answer this request, now or later."""


class NotFound(ServingError):
    """The server does not have the model, the version or the label."""


class ServerError(ServingError):
    """The server failed."""
