"""The status codes that error frames and the route layer share."""

from enum import IntEnum

__all__ = ["StatusCodes"]


class StatusCodes(IntEnum):
    """The HTTP status codes (RFC 9110, section 15; 429: RFC 6585) of routes and error frames."""

    #: The request was carried out.
    OK = 200
    #: The message is malformed.
    BAD_REQUEST = 400
    #: There is no such route or stream.
    NOT_FOUND = 404
    #: The handler failed.
    INTERNAL_SERVER_ERROR = 500

    CREATED = 201
    ACCEPTED = 202
    NO_CONTENT = 204

    UNAUTHORIZED = 401
    PAYMENT_REQUIRED = 402
    #: The name under which django-observable-socket has 402.
    PENDING = 402
    FORBIDDEN = 403
    METHOD_NOT_ALLOWED = 405
    NOT_ACCEPTABLE = 406
    REQUEST_TIMEOUT = 408
    CONFLICT = 409
    GONE = 410
    LENGTH_REQUIRED = 411
    PRECONDITION_FAILED = 412
    PAYLOAD_TOO_LARGE = 413
    URI_TOO_LONG = 414
    UNSUPPORTED_MEDIA_TYPE = 415
    RANGE_NOT_SATISFIABLE = 416
    EXPECTATION_FAILED = 417
    UNPROCESSABLE_ENTITY = 422
    TOO_MANY_REQUESTS = 429

    NOT_IMPLEMENTED = 501
    BAD_GATEWAY = 502
    SERVICE_UNAVAILABLE = 503
    GATEWAY_TIMEOUT = 504
    HTTP_VERSION_NOT_SUPPORTED = 505
