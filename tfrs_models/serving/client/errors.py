"""Errors that the clients of a model server raise."""


class ServingError(Exception):
    """A request got no answer; the base class of all errors of the clients.

    Example:
      >>> with tm.serving.client.RestClient(
      ...     "http://localhost:9", model="retrieval", retries=0
      ... ) as client:
      ...     try:
      ...         client.status()
      ...     except tm.serving.client.ServingError as error:
      ...         print(type(error).__name__)
      Unavailable
    """


class Unavailable(ServingError):
    """The server cannot be reached, is not ready or too busy; a later call may work.

    Example:
      >>> error = tm.serving.client.Unavailable("busy", retry_after=2.0)
      >>> error.retry_after
      2.0
    """

    def __init__(self, message: str, *, retry_after: float = 0.0) -> None:
        """Initializes the error.

        Args:
          message: description of what happened.
          retry_after: seconds that the server asks the client to wait.
        """
        super().__init__(message)
        self.retry_after = retry_after


class DeadlineExceeded(ServingError):
    """The answer did not arrive within the timeout.

    Example:
      >>> issubclass(
      ...     tm.serving.client.DeadlineExceeded, tm.serving.client.ServingError
      ... )
      True
    """


class InvalidRequest(ServingError):
    """The model cannot answer this request, whenever it is sent.

    Example:
      >>> try:
      ...     tm.serving.client.GrpcClient("http://localhost:8500", model="m")
      ... except tm.serving.client.InvalidRequest as error:
      ...     print(error)
      `address` must be a host and a port, without http://. Write 'localhost:8500'.
    """


class InvalidAddress(InvalidRequest, ValueError):
    """The address of a server is malformed.

    Example:
      >>> try:
      ...     tm.serving.client.RestClient("localhost:8501", model="m")
      ... except tm.serving.client.InvalidAddress as error:
      ...     print(error)
      `address` must start with http:// ... Write 'http://localhost:8501'.
    """


class NotFound(ServingError):
    """The server does not have the model, the version or the label.

    Example:
      >>> issubclass(tm.serving.client.NotFound, tm.serving.client.InvalidRequest)
      False
    """


class ServerError(ServingError):
    """The server failed, or its answer does not have TensorFlow Serving's form.

    Example:
      >>> issubclass(tm.serving.client.ServerError, tm.serving.client.ServingError)
      True
    """
