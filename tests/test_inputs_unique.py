"""Ids: present and unique, judged while records stream by and in little memory."""

import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esmkit.errors import InvalidInputError, InvalidRecordError
from esmkit.inputs import check_unique
from esmkit.types import Failure, Origin, Record


def records_of(ids: list[str]) -> Iterator[Record]:
    return (Record(n, record_id, "MK", origin=Origin("in.fa", 2 * n + 1)) for n, record_id in enumerate(ids))


def test_unique_records_pass_unchanged() -> None:
    records = list(records_of([f"r{n}" for n in range(3000)]))
    passed = list(check_unique(records))
    assert len(passed) == 3000
    assert all(before is after for before, after in zip(records, passed, strict=True))


@pytest.mark.parametrize("position", [1, 2, 3, 700, 5000])
def test_duplicate_stops_after_the_records_before_it(position: int) -> None:
    stream = check_unique(records_of([*(f"r{n}" for n in range(position)), "r0", "last"]))
    assert [next(stream).id for _ in range(position)] == [f"r{n}" for n in range(position)]
    with pytest.raises(InvalidRecordError) as caught:
        next(stream)
    line = 2 * position + 1
    assert caught.value.to_dict() == {
        "code": "user.invalid_record",
        "message": f"record 'r0' (in.fa, line {line}) has an id that an earlier record has; "
        "give every record an id of its own",
        **{"record_id": "r0", "source": "in.fa", "line": line},
    }


def test_skipped_duplicates_become_failures_in_their_place() -> None:
    first, second, third, last = check_unique(records_of(["a", "a", "a", "b"]), on_error="skip")
    assert (first, last) == tuple(r for r in records_of(["a", "", "", "b"]) if r.id)
    for failure, index in ((second, 1), (third, 2)):
        assert isinstance(failure, Failure)
        assert (failure.index, failure.id, failure.error.code) == (index, "a", "user.invalid_record")


def test_record_without_id_is_an_error_with_its_line() -> None:
    for ids in (["a", ""], ["a", "", ""]):
        *_, failure = check_unique(records_of(ids), on_error="skip")
        assert isinstance(failure, Failure)
        line = 2 * len(ids) - 1
        assert failure.error.message == (
            f"record '' (in.fa, line {line}) has no id; give every record an id of its own"
        )


def test_record_without_origin_is_named_by_its_number() -> None:
    with pytest.raises(InvalidRecordError, match=r"record 'a' \(number 2\) has an id") as caught:
        list(check_unique([Record(0, "a", "M"), Record(1, "a", "M")]))
    assert (caught.value.source, caught.value.line) == (None, None)


def test_records_are_yielded_before_twice_as_many_are_read() -> None:
    num_read = 0

    def source() -> Iterator[Record]:
        nonlocal num_read
        for record in records_of([f"r{n}" for n in range(300)]):
            num_read += 1
            yield record

    read_when_yielded = [num_read for _ in check_unique(source())]
    assert len(read_when_yielded) == 300
    assert all(read < 2 * (number + 1) for number, read in enumerate(read_when_yielded))


@pytest.mark.parametrize("number", [0, 1, 2, 3, 600])
def test_records_before_an_error_of_the_reader_come_first(number: int) -> None:
    def source() -> Iterator[Record]:
        yield from records_of([f"r{n}" for n in range(number)])
        raise InvalidInputError("damaged")

    stream = check_unique(source())
    assert [next(stream).id for _ in range(number)] == [f"r{n}" for n in range(number)]
    with pytest.raises(InvalidInputError, match="damaged"):
        next(stream)


def test_memory_is_at_most_20_bytes_per_record() -> None:
    number = 200_000
    stream = check_unique(Record(n, f"r{n}", "MK") for n in range(number))
    next(stream)
    tracemalloc.start()
    assert sum(1 for _ in stream) == number - 1
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 20 * number + 500_000


@given(st.lists(st.text("ab", max_size=4), max_size=60))
def test_failures_are_exactly_the_repeated_or_missing_ids(ids: list[str]) -> None:
    stream = list(check_unique(records_of(ids), on_error="skip"))
    assert [item.id for item in stream] == ids
    assert [item.index for item in stream] == list(range(len(ids)))
    expected = [not ids[n] or ids[n] in ids[:n] for n in range(len(ids))]
    assert [isinstance(item, Failure) for item in stream] == expected
