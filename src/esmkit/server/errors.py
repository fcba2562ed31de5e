"""The one table from an error to its HTTP status and BioLM code, and the one shape of every error body.

The body satisfies every BioLM client at once: `error` (a string, or lists of messages by field) for biolmai and
biolm-sdk, `detail`, `errors` and `code` for clients of the open gateway.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from esmkit.errors import CapacityError, EsmkitError, ModelExecutionError, OverloadedError, StoreError, UserError

MAX_ISSUES = 32
_MAX_NAME = 64
_MAX_MESSAGE = 400


@dataclass(frozen=True, slots=True)
class Issue:
    """One thing wrong with a request.

    Attributes:
        at: where, as keys and 0-based indices from the top of the body: `("items", 1, "sequence")`.
        message: what was found and what is allowed; never a whole sequence.
        type: stable name of the kind of error.
    """

    at: tuple[str | int, ...]
    message: str
    type: str

    @property
    def key(self) -> str:
        """BioLM's name of the field: `items__1__sequence`, `params__include`."""
        place = self.at[:2] if self.at[:1] == ("params",) else self.at
        name = "__".join(str(part) for part in place)[:_MAX_NAME]
        return f"body__{name}" if name == "error" else name or "body"


class InvalidRequestError(UserError):
    """A request body that cannot be answered; `issues` says why, field by field."""

    code: ClassVar[str] = "user.invalid_request"

    def __init__(self, issues: Sequence[Issue]) -> None:
        self.issues = [replace(issue, message=_shortened(issue.message)) for issue in issues[:MAX_ISSUES]]
        super().__init__("; ".join(f"{issue.key}: {issue.message}" for issue in self.issues))


class UnauthorizedError(UserError):
    """No API key, or one that is not valid."""

    code = "user.unauthorized"


class ForbiddenError(UserError):
    """The key is valid but may not do this."""

    code = "user.forbidden"


class UnknownActionError(UserError):
    """The model has no such action."""

    code = "user.unknown_action"


class BodyTooLargeError(UserError):
    """More bytes than the server takes, as sent or inflated."""

    code = "user.body_too_large"


class BodyTimeoutError(UserError):
    """The body did not arrive in time."""

    code = "user.body_timeout"


class UnsupportedMediaError(UserError):
    """The body is in a type or encoding that the server does not read."""

    code = "user.unsupported_media"


class AnswerTooLargeError(UserError):
    """The numbers of the answer would exceed what the server holds for one request."""

    code = "user.answer_too_large"


class RateLimitedError(OverloadedError):
    """The key made too many requests, or asked for too many residues, within a short time."""

    code = "capacity.rate_limited"

    def __init__(self, message: str, *, retry_after_s: float, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.headers = dict(headers or {})


class QuotaExceededError(RateLimitedError):
    """The key has used its residues of the day."""

    code = "capacity.quota_exceeded"


class ConflictError(UserError):
    """What was named is not in the state for this."""

    code = "user.conflict"


class RangeError(UserError):
    """The file has no such bytes."""

    code = "user.range"


class ClientGoneError(Exception):
    """The client closed the connection; there is nobody to answer."""


class DrainingError(CapacityError):
    """The server finishes what it accepted and takes nothing new."""

    code = "capacity.draining"

    def __init__(self) -> None:
        super().__init__("the server is shutting down; send the request again in a few seconds")


class UnavailableError(OverloadedError):
    """Nothing that could answer is running now; it is being started."""

    code = "capacity.unavailable"


# code of the error -> (HTTP status, BioLM code); an error that is not listed is looked up by its base class.
TABLE: Mapping[str, tuple[int, str]] = {
    "user.error": (400, "user.validation"),
    "user.invalid_request": (400, "user.validation"),
    "user.invalid_sequence": (400, "user.validation"),
    "user.sequence_too_long": (400, "user.validation"),
    "user.invalid_config": (400, "user.unsupported_option"),
    "user.unsupported_output": (400, "user.unsupported_option"),
    "user.unauthorized": (401, "auth_failed"),
    "user.forbidden": (403, "auth_failed"),
    "user.unknown_model": (404, "user.resource_not_found"),
    "user.unknown_action": (404, "user.resource_not_found"),
    "user.body_timeout": (408, "user.error"),
    "user.unknown_job": (404, "user.resource_not_found"),
    "user.conflict": (409, "user.validation"),
    "user.range": (416, "user.validation"),
    "user.job_quota": (429, "quota_exceeded"),
    "user.invalid_input": (400, "user.validation"),
    "user.body_too_large": (413, "user.validation"),
    "user.answer_too_large": (413, "user.unsupported_option"),
    "user.unsupported_media": (415, "user.error"),
    "user.missing_extra": (500, "system.error"),
    "capacity.error": (503, "system.error"),
    "capacity.overloaded": (429, "rate_limited"),
    "capacity.rate_limited": (429, "rate_limited"),
    "capacity.quota_exceeded": (429, "quota_exceeded"),
    "capacity.draining": (503, "system.error"),
    "capacity.unavailable": (503, "system.error"),
    "capacity.deadline_exceeded": (504, "system.error"),
    "capacity.device_memory": (413, "system.model_execution"),
    "internal.model_execution": (500, "system.model_execution"),
    "internal.store": (503, "system.error"),
    "error": (500, "system.error"),
}
_HTTP_CODES = {404: "user.resource_not_found", 405: "user.error", 413: "user.validation"}


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """What is sent for an error: status, extra headers, body."""

    status: int
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def code(self) -> str:
        """The BioLM code."""
        return str(self.body["code"])


def answer_for(error: EsmkitError, *, request_id: str) -> ErrorAnswer:
    """Status, headers and body for an error.

    Of errors that are the server's own fault the text stays in the log, under the request id.
    """
    codes: Iterator[str] = (getattr(kind, "code", "") for kind in type(error).__mro__)
    status, code = TABLE[next(code for code in codes if code in TABLE)]
    headers: dict[str, str] = {}
    if isinstance(error, OverloadedError):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
        headers |= error.headers if isinstance(error, RateLimitedError) else {}
    elif status in (429, 503):
        headers["Retry-After"] = "60" if status == 429 else "5"
    if status == 401:
        headers["WWW-Authenticate"] = 'Token realm="esmkit", Bearer realm="esmkit"'
        return ErrorAnswer(status, headers, _body("Unauthorized", error.message, [], status, code))
    if status in (408, 413):
        headers["Connection"] = "close"
    if isinstance(error, InvalidRequestError):
        return ErrorAnswer(status, headers, _body_of_issues(error.issues, status, code))
    is_ours = status == 500 or error.code.startswith("internal.")
    message = _internal(error, request_id) if is_ours else error.message
    return ErrorAnswer(status, headers, _body(message, message, [_entry((), message, error.code)], status, code))


def http_answer(status: int, message: str) -> ErrorAnswer:
    """Status and body for what the router itself refuses: no such path, no such method."""
    code = _HTTP_CODES.get(status, "user.error" if status < 500 else "system.error")
    return ErrorAnswer(status, {}, _body(message, message, [_entry((), message, "http")], status, code))


def _internal(error: EsmkitError, request_id: str) -> str:
    what = "the server failed"
    if isinstance(error, ModelExecutionError):
        what = "the model failed on this request"
    elif isinstance(error, StoreError):
        what = "the server cannot reach its database now, send the request again later"
    return f"{what}; its log has the reason under request id {request_id}"


def _body_of_issues(issues: Sequence[Issue], status: int, code: str) -> dict[str, Any]:
    by_field: dict[str, list[str]] = {}
    for issue in issues:
        by_field.setdefault(issue.key, []).append(issue.message)
    detail = "; ".join(f"{key}: {message}" for key, messages in by_field.items() for message in messages)
    whole = [issue for issue in issues if not issue.at]
    error: str | dict[str, list[str]] = whole[0].message if whole else by_field
    entries = [_entry(issue.at, issue.message, issue.type) for issue in issues]
    return _body(error, whole[0].message if whole else detail, entries, status, code)


def _shortened(message: str) -> str:
    """A message that names what was found may hold a number of thousands of digits."""
    half = _MAX_MESSAGE // 2
    return message if len(message) <= _MAX_MESSAGE else f"{message[:half]} ... {message[-half:]}"


def _entry(at: tuple[str | int, ...], message: str, kind: str) -> dict[str, Any]:
    return {"loc": [part if isinstance(part, int) else part[:_MAX_NAME] for part in at], "msg": message, "type": kind}


def _body(
    error: str | dict[str, list[str]], detail: str, errors: list[dict[str, Any]], status: int, code: str
) -> dict[str, Any]:
    return {"error": error, "detail": detail, "errors": errors, "status_code": status, "code": code}
