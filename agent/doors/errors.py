"""The API's errors, by their ECS names. The caller's are HTTP 400, the agent's own 500."""

from __future__ import annotations


class ApiError(Exception):
    """A call can't be served; ``code`` is the ECS exception name that SDKs raise."""

    code = "ClientException"
    status = 400

    @property
    def document(self) -> dict[str, str]:
        """As the protocol shows it."""
        return {"__type": self.code, "message": str(self)}


class InvalidParameter(ApiError):
    """A parameter is malformed or refers to something that does not exist."""

    code = "InvalidParameterException"


class ClusterNotFound(ApiError):
    """Another cluster was named."""

    code = "ClusterNotFoundException"


class Conflict(ApiError):
    """The request's ``clientToken`` was used for another one."""

    code = "ConflictException"


class ResourceInUse(ApiError):
    """Somebody needs what was to be removed."""

    code = "ResourceInUseException"


class SerializationError(ApiError):
    """The body is not a JSON object."""

    code = "SerializationException"


class UnknownOperation(ApiError):
    """No such call."""

    code = "UnknownOperationException"


class AccessDenied(ApiError):
    """The caller may not."""

    code = "AccessDeniedException"


class MissingAuthenticationToken(ApiError):
    """The request is not signed."""

    code = "MissingAuthenticationTokenException"


class IncompleteSignature(ApiError):
    """What should be a signature can't be read as one."""

    code = "IncompleteSignatureException"


class UnrecognizedClient(ApiError):
    """No such access key."""

    code = "UnrecognizedClientException"


class InvalidSignature(ApiError):
    """The signature is not of this request, this key or this time."""

    code = "InvalidSignatureException"


class ServerFailure(ApiError):
    """The agent could not do it, for instance because its disk is full or containerd away."""

    code = "ServerException"
    status = 500
