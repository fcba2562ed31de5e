"""How variants are written, and that whatever does not fit its wild type is refused by row."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from esmkit.applications.mutations.table import VariantTable
from esmkit.applications.mutations.variants import AMINO_ACIDS, describe, parse, singles, substitutions
from esmkit.errors import EsmkitError, InvalidConfigError, InvalidInputError, InvalidSequenceError, InvalidVariantError
from esmkit.types import Failure

WILD_TYPE = "MKTAYIAKQR"
proteins = st.text(AMINO_ACIDS, min_size=1, max_size=12)


@given(proteins, proteins, st.integers(-5, 300))
def test_what_is_described_is_read_back(wild_type: str, sequence: str, offset: int) -> None:
    named = describe(wild_type, sequence, offset=max(offset, 0))
    assert parse(named, wild_type, offset=max(offset, 0)) == sequence


@given(proteins, st.data())
def test_substitutions_are_the_residues_that_differ(wild_type: str, data: st.DataObject) -> None:
    sequence = data.draw(st.text(AMINO_ACIDS, min_size=len(wild_type), max_size=len(wild_type)))
    at, old, new = substitutions(wild_type, sequence)
    letters = list(wild_type)
    for index, before, after in zip(at, old, new, strict=True):
        assert "LAGVSERTIDPKQNFYMHWC"[before] == letters[index]
        letters[index] = "LAGVSERTIDPKQNFYMHWC"[after]
    assert "".join(letters) == sequence


@pytest.mark.parametrize(
    ("text", "sequence"),
    [
        ("A4G", "MKTGYIAKQR"),
        ("p.A4G", "MKTGYIAKQR"),
        ("R10W:M1L", "LKTAYIAKQW"),
        ("A4A", WILD_TYPE),
        ("WT", WILD_TYPE),
        ("K2del", "MTAYIAKQR"),
        ("M1_A4del", "YIAKQR"),
        ("K2_T3insWW", "MKWWTAYIAKQR"),
        ("K2_A4delinsC", "MCYIAKQR"),
        ("M1delinsGM", "GMKTAYIAKQR"),
        ("K2_T3insW:K2R:T3S", "MRWSAYIAKQR"),
        ("MKTA", "MKTA"),
    ],
)
def test_notation(text: str, sequence: str) -> None:
    assert parse(text, WILD_TYPE) == sequence


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "is empty"),
        ("K4G", "says K at position 4, where the wild type has A; check the wild type and --offset"),
        ("A11G", "names position 11, but positions run from 1 to 10"),
        ("M0G", "names position 0"),
        ("A4*", "puts a stop at position 4"),
        ("A4X", "puts 'X' at position 4, which is none of the 20"),
        ("A4g", "puts 'g'"),
        ("A4", "cannot be read; write A24G"),
        ("A4G,K2R", "cannot be read"),
        ("A4G:", "cannot be read at ''"),
        ("Ala4Gly", "cannot be read"),
        ("A4fs", "cannot be read"),
        ("A4G:A4C", "changes position 4 twice"),
        ("K2_A4del:T3W", "changes position 3 twice"),
        ("K2_T3insA:K2_T3insC", "changes position 3 twice"),
        ("K2_A4insG", "inserts between two neighbours"),
        ("K2insG", "inserts between two neighbours"),
        ("A4_K2del", "ends at 2, before it starts at 4"),
        ("M1_R10del", "deletes the whole protein"),
        ("MKTJ", "puts 'J' at position 4"),
        ("MKT*", "puts a stop at position 4"),
        ("A99999999999G", "cannot be read"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_reason(text: str, match: str) -> None:
    with pytest.raises(InvalidVariantError, match=match) as caught:
        parse(text, WILD_TYPE)
    assert caught.value.variant == text
    assert caught.value.code == "user.invalid_variant"


def test_offset_shifts_the_numbering() -> None:
    assert parse("A27G", WILD_TYPE, offset=23) == "MKTGYIAKQR"
    with pytest.raises(InvalidVariantError, match="positions run from 24 to 33"):
        parse("A4G", WILD_TYPE, offset=23)
    assert next(singles(WILD_TYPE, offset=23)).id == "M24A"


@given(st.text(max_size=12))
def test_any_text_is_a_variant_or_an_error(text: str) -> None:
    with suppress(InvalidVariantError):
        assert set(parse(text, WILD_TYPE)) <= set(AMINO_ACIDS)


def table(tmp_path: Path, text: str, name: str = "variants.csv") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_rows_become_variants_and_other_columns_are_carried(tmp_path: Path) -> None:
    path = table(tmp_path, "mutant,DMS_score,index,note\nA4G,0.5,7,x\nA4G:K2R,-1,8,\n")
    read = VariantTable(path, wild_type=WILD_TYPE)
    variants = list(read.variants())
    assert [column.name for column in read.cells] == ["mutant", "mutated_sequence", "DMS_score", "note"]
    assert [(v.index, list(v.shown.values())) for v in variants if not isinstance(v, Failure)] == [
        (0, ["A4G", "MKTGYIAKQR", "0.5", "x"]),
        (1, ["A4G:K2R", "MRTGYIAKQR", "-1", ""]),
    ]
    assert [v.id for v in read.variants()] == ["A4G", "A4G:K2R"]  # as often as asked


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet"])
def test_formats_hold_the_same_variants(tmp_path: Path, suffix: str) -> None:
    names, rows = ["mutant", "mutated_sequence", "score"], [["A4G", "MKTGYIAKQR", "1.5"], ["K2del", "MTAYIAKQR", ""]]
    path = tmp_path / f"variants.{suffix}"
    if suffix == "parquet":
        pq.write_table(pa.table({name: [row[at] for row in rows] for at, name in enumerate(names)}), path)
    else:
        separator = "," if suffix == "csv" else "\t"
        path.write_text("".join(separator.join(row) + "\n" for row in [names, *rows]))
    variants = list(VariantTable(path, wild_type=WILD_TYPE).variants())
    assert [(v.id, v.sequence, v.shown["score"]) for v in variants] == [
        ("A4G", "MKTGYIAKQR", "1.5"),
        ("K2del", "MTAYIAKQR", ""),
    ]


def test_sequences_alone_are_named_by_what_they_change(tmp_path: Path) -> None:
    path = table(tmp_path, "mutated_sequence\nMKTGYIAKQR\nMTAYIAKQR\nMKTAYIAKQRW\n")
    names = [variant.id for variant in VariantTable(path, wild_type=WILD_TYPE, offset=100).variants()]
    assert names == ["A104G", "K102del", "R110delinsRW"]


def test_a_sequence_in_the_column_of_mutants_is_read_as_one(tmp_path: Path) -> None:
    path = table(tmp_path, "mutant,mutated_sequence\nMTAYIAKQR,MTAYIAKQR\n")
    assert [variant.id for variant in VariantTable(path, wild_type=WILD_TYPE).variants()] == ["K2del"]


def test_every_row_may_name_its_own_wild_type(tmp_path: Path) -> None:
    path = table(tmp_path, f"mutant,target\nA4G,{WILD_TYPE}\nA4G,GGGA\n")
    variants = list(VariantTable(path, wild_type_column="target").variants())
    assert [(v.sequence, v.wild_type) for v in variants] == [("MKTGYIAKQR", WILD_TYPE), ("GGGG", "GGGA")]


def test_bad_rows_are_named_and_skipped_on_request(tmp_path: Path) -> None:
    path = table(tmp_path, "mutant\nA4G\nK4G\nK2R:A4G\nA4G:K2R\nA4*\nA4G\n\nK2W\n")
    read = VariantTable(path, wild_type=WILD_TYPE)
    items = list(read.variants(on_error="skip"))
    assert [item.index for item in items] == list(range(7))
    failed = {item.index: item.error for item in items if isinstance(item, Failure)}
    assert sorted(failed) == [1, 3, 4, 5]
    assert "line 3) says K" in str(failed[1])
    assert "line 5) is the same as line 4" in str(failed[3])
    assert "line 6) puts a stop" in str(failed[4])
    assert "line 7) is the same as line 2" in str(failed[5])
    assert failed[5].to_dict()["line"] == 7
    with pytest.raises(InvalidVariantError, match="line 3"):
        list(read.variants())


def test_a_sequence_that_contradicts_the_mutant_is_refused(tmp_path: Path) -> None:
    path = table(tmp_path, "mutant,mutated_sequence\nA4G,MKTCYIAKQR\n")
    with pytest.raises(
        InvalidVariantError, match=r"another sequence than the one in column 'mutated_sequence', .* A4C"
    ):
        list(VariantTable(path, wild_type=WILD_TYPE).variants())


@pytest.mark.parametrize(
    ("text", "options", "kind", "match"),
    [
        ("name\nA4G\n", {"wild_type": "MK"}, InvalidInputError, "no column 'mutant' or 'mutated_sequence'.*'name'"),
        ("mutant\nA4G\n", {"wild_type": "MK", "variant_column": "x"}, InvalidInputError, "no column 'x'"),
        ("mutant\n", {"wild_type": "MK"}, InvalidInputError, "holds no rows"),
        ("mutant,mutant\nA,A\n", {"wild_type": "MK"}, InvalidInputError, "several columns named 'mutant'"),
        ("mutant\nA4G\n", {}, InvalidConfigError, "wild type"),
        ("mutant\nA4G\n", {"wild_type": "MK", "wild_type_column": "w"}, InvalidConfigError, "one of the two"),
        ("mutant\nA4G\n", {"wild_type": "MKB"}, InvalidSequenceError, "position 3: found 'B'"),
    ],
)
def test_tables_that_cannot_be_read_are_refused(
    tmp_path: Path, text: str, options: dict[str, str], kind: type[EsmkitError], match: str
) -> None:
    with pytest.raises(kind, match=match):
        VariantTable(table(tmp_path, text), **options)  # type: ignore[arg-type]


def test_a_row_that_is_not_as_long_as_the_header_is_named(tmp_path: Path) -> None:
    path = table(tmp_path, "mutant,score\nA4G,1\nK2R\n")
    with pytest.raises(InvalidInputError, match="line 3: the header names 2 columns and this row has 1"):
        list(VariantTable(path, wild_type=WILD_TYPE).variants(on_error="skip"))
