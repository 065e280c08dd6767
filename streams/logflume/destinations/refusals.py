"""What an S3 service or the way to it answered, as Logflume's errors: try again, or set right what is configured."""

from __future__ import annotations

import re
from enum import Enum
from typing import Any

from botocore.exceptions import (
    ClientError,
    ConfigNotFound,
    InvalidConfigError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
)

from logflume.errors import LogflumeError, Misconfigured, Retryable

# Answers of the class 4xx that another try may not get: time passes, or bytes arrive whole.
_PASSING = {
    "BadDigest",
    "ConditionalRequestConflict",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteBody",
    "NoSuchUpload",
    "OperationAborted",
    "RequestTimeout",
    "RequestTimeTooSkewed",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequests",
    "TooManyRequestsException",
    "XAmzContentSHA256Mismatch",
}
_HOPELESS = (
    ConfigNotFound,
    InvalidConfigError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
)
_LONG = re.compile(r"[A-Za-z0-9+/=_.~-]{40,}")  # a token or signature that a server gave back


class _Answer(Enum):
    """Answers that a caller handles, by error code or status."""

    TAKEN = ("PreconditionFailed", 412)
    LOST = ("NoSuchUpload", 404)

    def says(self, error: BaseException) -> bool:
        """Whether ``error`` is this answer."""
        found = _answer(error)
        if found is None:
            return False
        code, status = self.value
        given = found.response.get("Error", {}).get("Code", "")
        return given == code or (_status(found) == status and given in ("", str(status)))


Taken, Lost = _Answer.TAKEN, _Answer.LOST


def typed(error: Exception, failing: str, seconds: float) -> LogflumeError:
    """Return ``error`` as one of ours.

    What is not known to need a hand is ``Retryable``: an answer that is not S3's leads s3fs and botocore to any error.
    """
    if isinstance(error, BaseExceptionGroup):
        return typed(_first(error), failing, seconds)
    if isinstance(error, LogflumeError):
        return error
    answer = _answer(error)
    if answer is not None:
        return _of_answer(answer, failing)
    if isinstance(error, _HOPELESS) or type(error) is ValueError:  # botocore's, of an endpoint that is no URL
        return Misconfigured(f"{failing}: {_plain(error)}")
    if isinstance(error, TimeoutError):
        return Retryable(f"{failing}: not done within {seconds:.0f} s")
    return Retryable(f"{failing}: {type(error).__name__}: {_plain(error)}")


def _of_answer(answer: ClientError, failing: str) -> LogflumeError:
    status = _status(answer)
    given: dict[str, Any] = answer.response.get("Error", {})
    code = str(given.get("Code", ""))
    message = _plain(given.get("Message", ""))
    what = f"{failing}: {answer.operation_name} was answered {status or ''} {code} {message}".rstrip()
    if code in _PASSING or status >= 500 or status in (0, 408, 409, 425, 429):
        return Retryable(what)
    return Misconfigured(what)


def _answer(error: BaseException | None) -> ClientError | None:
    """Return what botocore said first; s3fs puts its own error before it."""
    while error is not None:
        if isinstance(error, ClientError):
            return error
        error = error.__cause__
    return None


def _status(answer: ClientError) -> int:
    return int(answer.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _plain(message: object) -> str:
    return _LONG.sub("…", str(message).replace("\n", " "))[:300]


def _first(group: BaseExceptionGroup[BaseException]) -> Exception:
    """The first failure of parts that went up together."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            return _first(error)
        if isinstance(error, Exception):
            return error
    return Retryable("interrupted")
