"""Clients of a model server, over HTTP or gRPC."""

from tfrs_models.serving.client.errors import (
    DeadlineExceeded,
    InvalidAddress,
    InvalidRequest,
    NotFound,
    ServerError,
    ServingError,
    Unavailable,
)
from tfrs_models.serving.client.grpc_client import GrpcClient
from tfrs_models.serving.client.rest_client import RestClient

__all__ = [
    "DeadlineExceeded",
    "GrpcClient",
    "InvalidAddress",
    "InvalidRequest",
    "NotFound",
    "RestClient",
    "ServerError",
    "ServingError",
    "Unavailable",
]
