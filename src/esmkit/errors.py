"""One tree of errors; every error has a stable dotted code, plain fields, and `to_dict()` for machines."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import ClassVar

type_of_field = str | int | float | list[str] | None


class EsmkitError(Exception):
    """Root of every error that esmkit raises on purpose.

    Subclasses name their fields as keyword arguments; `code` never changes once released.
    """

    code: ClassVar[str] = "error"

    def __init__(self, message: str, **fields: type_of_field) -> None:
        super().__init__(message)
        self.message = message
        self.fields = fields

    def __reduce__(self) -> tuple[Callable[..., EsmkitError], tuple[object, ...], dict[str, object]]:
        """How copy and pickle make it again; by themselves they would hand the fields over by position."""
        return _blank, (type(self), *self.args), self.__dict__

    def to_dict(self) -> dict[str, type_of_field]:
        """The error as plain data: `code`, `message`, then the fields that are not None."""
        known = {name: value for name, value in self.fields.items() if value is not None}
        return {"code": self.code, "message": self.message, **known}


class UserError(EsmkitError):
    """The caller can fix it: input, arguments, or installation."""

    code = "user.error"


class InvalidInputError(UserError):
    """A file or table cannot be read as records at all (wrong format, missing column, no records)."""

    code = "user.invalid_input"

    def __init__(self, message: str, *, source: str | None = None, line: int | None = None) -> None:
        super().__init__(message, source=source, line=line)
        self.source, self.line = source, line


class InvalidRecordError(UserError):
    """One record is unusable: empty, or its id was seen before."""

    code = "user.invalid_record"

    def __init__(self, message: str, *, record_id: str, source: str | None = None, line: int | None = None) -> None:
        super().__init__(message, record_id=record_id, source=source, line=line)
        self.record_id, self.source, self.line = record_id, source, line


class InvalidSequenceError(UserError):
    """A sequence holds something that is no residue. `position` is 1-based and counts residues."""

    code = "user.invalid_sequence"

    def __init__(
        self,
        message: str,
        *,
        record_id: str,
        position: int | None = None,
        residue: str | None = None,
        source: str | None = None,
        line: int | None = None,
    ) -> None:
        super().__init__(message, record_id=record_id, position=position, residue=residue, source=source, line=line)
        self.record_id, self.position, self.residue = record_id, position, residue
        self.source, self.line = source, line


class InvalidVariantError(UserError):
    """A variant does not fit its wild type, or cannot be read. `position` is that of the variant's numbering."""

    code = "user.invalid_variant"

    def __init__(
        self,
        message: str,
        *,
        variant: str,
        position: int | None = None,
        residue: str | None = None,
        source: str | None = None,
        line: int | None = None,
    ) -> None:
        super().__init__(message, variant=variant, position=position, residue=residue, source=source, line=line)
        self.variant, self.position, self.residue = variant, position, residue
        self.source, self.line = source, line


class SequenceTooLongError(UserError):
    """A sequence has more residues than the limit and the long policy is `error`."""

    code = "user.sequence_too_long"

    def __init__(
        self,
        message: str,
        *,
        record_id: str,
        length: int,
        limit: int,
        source: str | None = None,
        line: int | None = None,
    ) -> None:
        super().__init__(message, record_id=record_id, length=length, limit=limit, source=source, line=line)
        self.record_id, self.length, self.limit = record_id, length, limit


class UnknownModelError(UserError):
    """No model has this name; `choices` lists the names that exist."""

    code = "user.unknown_model"

    def __init__(self, message: str, *, name: str, choices: Iterable[str] = ()) -> None:
        listed = list(choices)
        super().__init__(message, name=name, choices=listed)
        self.name, self.choices = name, listed


class UnsupportedOutputError(UserError):
    """The model, device or length policy cannot give this output; `choices` lists what it can give."""

    code = "user.unsupported_output"

    def __init__(self, message: str, *, output: str, choices: Iterable[str] = ()) -> None:
        listed = list(choices)
        super().__init__(message, output=output, choices=listed)
        self.output, self.choices = output, listed


class InvalidConfigError(UserError):
    """An argument or setting is wrong; `setting` names it."""

    code = "user.invalid_config"

    def __init__(self, message: str, *, setting: str | None = None) -> None:
        super().__init__(message, setting=setting)
        self.setting = setting


class MissingExtraError(UserError):
    """An optional dependency is not installed; `extra` is what `pip install esmkit[extra]` needs."""

    code = "user.missing_extra"

    def __init__(self, message: str, *, extra: str) -> None:
        super().__init__(message, extra=extra)
        self.extra = extra


def demand_module(module: str, *, reason: str, extra: str) -> None:
    """Imports an optional dependency, to find out before the work whether it is there.

    Args:
        module: what Python imports.
        reason: what needs what, for the message.
        extra: the extra of esmkit that brings it.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import_module(module.rpartition(".")[0] or module)  # the package may be gone while its part is loaded
        import_module(module)
    except ImportError as error:
        raise MissingExtraError(f"{reason}; install it with: pip install 'esmkit[{extra}]'", extra=extra) from error


class CapacityError(EsmkitError):
    """The request is fine, the machine cannot take it now."""

    code = "capacity.error"


class OverloadedError(CapacityError):
    """Too much work is queued; try again after `retry_after_s` seconds."""

    code = "capacity.overloaded"

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.retry_after_s = retry_after_s


class DeadlineExceededError(CapacityError):
    """The answer was not ready in time."""

    code = "capacity.deadline_exceeded"


class DeviceMemoryError(CapacityError):
    """One record alone does not fit into the memory of the device."""

    code = "capacity.device_memory"


class InternalError(EsmkitError):
    """Neither the caller nor the load is to blame: weights or execution went wrong."""

    code = "internal.error"


class WeightsError(InternalError):
    """A weights file is missing, truncated, corrupt, or not what was expected."""

    code = "internal.weights"

    def __init__(
        self,
        message: str,
        *,
        path: str | None = None,
        expected: str | None = None,
        found: str | None = None,
    ) -> None:
        super().__init__(message, path=path, expected=expected, found=found)
        self.path, self.expected, self.found = path, expected, found


class ModelExecutionError(InternalError):
    """The model failed or gave NaN or Inf; `records` names the records that were in the batch."""

    code = "internal.model_execution"

    def __init__(self, message: str, *, records: Iterable[str] = ()) -> None:
        listed = list(records)
        super().__init__(message, records=listed)
        self.records = listed


class StoreError(InternalError):
    """The database of keys, usage and status cannot be reached, is locked, or is damaged."""

    code = "internal.store"


def _blank(kind: type[EsmkitError], *args: object) -> EsmkitError:
    return kind.__new__(kind, *args)
