"""What the server answers when it cannot predict.

ServingError                    status  gRPC code
├── RequestInvalidError         400     INVALID_ARGUMENT   the request does not fit the model
├── NotServedError              404     NOT_FOUND          no such model or path here
├── MethodRefusedError          405     UNIMPLEMENTED      the path takes another method
├── BodyTooLateError            408     DEADLINE_EXCEEDED  the body did not arrive in time
├── TooLargeError               413     RESOURCE_EXHAUSTED the body or the batch is too large
├── EncodingRefusedError        415     INVALID_ARGUMENT   a content encoding that is not read here
├── FeaturesStaleError          422     FAILED_PRECONDITION features are too old and the package says refuse
├── NotExplainableError         422     FAILED_PRECONDITION the model's predictions cannot be explained here
├── PredictionInvalidError      500     INTERNAL           the model itself answered what is no probability
├── DeadlinePassedError         504     DEADLINE_EXCEEDED  the client's own deadline passed; nothing was computed
└── UnavailableError            503     UNAVAILABLE        not loaded yet, draining, or the online store is locked
    ├── OverloadedError         503     RESOURCE_EXHAUSTED more waits already than is allowed
    └── FeaturesUnavailableError

StartupError: the server cannot start; its text is written to stderr and the exit status is 1.
"""


class StartupError(Exception):
    """The server cannot start; the text says why and what to do."""


class ServingError(Exception):
    """A request cannot be answered with a prediction; the text is fit for the client.

    Attributes:
        status: The HTTP status.
        grpc_code: The name of the gRPC status code.
    """

    status = 500
    grpc_code = "INTERNAL"


class RequestInvalidError(ServingError):
    """The request does not fit the model."""

    status, grpc_code = 400, "INVALID_ARGUMENT"


class NotServedError(ServingError):
    """There is no such model or path here."""

    status, grpc_code = 404, "NOT_FOUND"


class MethodRefusedError(ServingError):
    """The path takes another HTTP method."""

    status, grpc_code = 405, "UNIMPLEMENTED"


class BodyTooLateError(ServingError):
    """The body did not arrive in time."""

    status, grpc_code = 408, "DEADLINE_EXCEEDED"


class TooLargeError(ServingError):
    """The body or the batch is larger than is allowed."""

    status, grpc_code = 413, "RESOURCE_EXHAUSTED"


class EncodingRefusedError(ServingError):
    """The body has a content encoding that is not read here."""

    status, grpc_code = 415, "INVALID_ARGUMENT"


class FeaturesStaleError(ServingError):
    """Features are older than the package allows, and it says to refuse then."""

    status, grpc_code = 422, "FAILED_PRECONDITION"


class NotExplainableError(ServingError):
    """Predictions of this model cannot be explained: it takes images, or has nothing to be compared with."""

    status, grpc_code = 422, "FAILED_PRECONDITION"


class PredictionInvalidError(ServingError):
    """The model answered something that is no prediction."""


class DeadlinePassedError(ServingError):
    """The deadline that the client gave has passed, so the answer is of no use to it."""

    status, grpc_code = 504, "DEADLINE_EXCEEDED"


class UnavailableError(ServingError):
    """The server cannot answer now; the same request may succeed later or elsewhere."""

    status, grpc_code = 503, "UNAVAILABLE"


class OverloadedError(UnavailableError):
    """As much waits already as this server is allowed to hold; the same request may succeed later or elsewhere."""

    grpc_code = "RESOURCE_EXHAUSTED"


class FeaturesUnavailableError(UnavailableError):
    """The online store does not answer."""
