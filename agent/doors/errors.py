"""The API's errors, by their ECS names. All are HTTP 400, as JSON 1.1 services answer."""

from __future__ import annotations


class ApiError(Exception):
    """A call can't be served; ``code`` is the ECS exception name that SDKs raise."""

    code = "ClientException"
    status = 400


class InvalidParameter(ApiError):
    """A parameter is malformed or refers to something that does not exist."""

    code = "InvalidParameterException"


class ClusterNotFound(ApiError):
    """Another cluster was named."""

    code = "ClusterNotFoundException"


class UnknownOperation(ApiError):
    """No such call."""

    code = "UnknownOperationException"


class AccessDenied(ApiError):
    """The caller may not."""

    code = "AccessDeniedException"


class ServerFailure(ApiError):
    """The agent could not keep what was asked, for instance because its disk is full."""

    code = "ServerException"
    status = 500
