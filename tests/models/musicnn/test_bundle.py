"""The reader of TensorFlow's checkpoint bundles: what it gives back, and damage of every kind."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from models.errors import WeightsError
from models.musicnn import read_bundle
from models.musicnn.bundle import _masked_crc
from tests.models.musicnn.bundles import block, bundle, entry, field, index_of, varint

X = {"a/kernel": np.arange(6, dtype="f4").reshape(2, 3), "a/bias": np.ones(3, "f4"), "b/scalar": np.float32(2.0)}


@settings(max_examples=40, derandomize=True, deadline=None)
@given(
    st.dictionaries(
        st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40),
        nps.arrays("float32", nps.array_shapes(max_dims=4, max_side=5), elements=st.floats(-1e6, 1e6, width=32)),
        min_size=1,
        max_size=12,
    )
)
def test_what_was_written_is_read(arrays):
    found = read_bundle(*bundle(arrays), arrays)
    assert list(found) == list(arrays)
    for name, x in arrays.items():
        np.testing.assert_array_equal(found[name], x)
        assert found[name].flags.writeable


def test_a_known_checksum():
    """CRC-32C of "123456789" is 0xE3069283 (RFC 3720's polynomial), masked as LevelDB does."""
    crc = 0xE3069283
    assert _masked_crc(b"123456789") == (((crc >> 15) | (crc << 17) & 0xFFFFFFFF) + 0xA282EAD8) & 0xFFFFFFFF


INDEX, DATA = bundle(X)
LONE = {"a/bias": entry((3,), 0, 12)}
DAMAGE = {
    "empty": (b"", DATA, "does not end as such a table does"),
    "cut off": (INDEX[:-1], DATA, "does not end as such a table does"),
    "another file": (b"PK" + INDEX[:-8] + b"\0" * 8, DATA, "does not end as such a table does"),
    "a byte changed": (bytes([INDEX[20] ^ 1]).join([INDEX[:20], INDEX[21:]]), DATA, "another checksum|no 'a/|is cut off"),
    "compressed": (index_of(LONE, compression=1), DATA, r"compressed \(kind 1\)"),
    "another dtype": (index_of({"a/bias": entry((3,), 0, 6, dtype=19)}), DATA, "a/bias is float16, float32 is wanted"),
    "a dtype unheard of": (index_of({"a/bias": entry((3,), 0, 12, dtype=99)}), DATA, "of type 99"),
    "no dtype": (index_of({"a/bias": field(4, 0) + field(5, 4)}), DATA, "of type 0"),
    "another size": (index_of({"a/bias": entry((3,), 0, 8)}), DATA, "has 8 bytes, 12 are wanted"),
    "behind the end": (index_of({"a/bias": entry((3,), len(DATA), 12)}), DATA, "its data are cut off"),
    "data cut off": (INDEX, DATA[:-8], "its data are cut off"),
    "an impossible shape": (index_of({"a/bias": entry((1 << 50,), 0, 12)}), DATA, "impossible shape"),
    "not finite": (INDEX, DATA[:24] + b"\x00\x00\xc0\x7f" + DATA[28:], "NaN or infinite"),
    "a variable missing": (index_of({"a/kernel": entry((2, 3), 0, 24)}), DATA, "it has no 'a/bias'"),
    "no variables": (index_of({}), DATA, "holds no variable"),
    "several files": (index_of(LONE, header=field(1, 3)), DATA, "its data are 3 files"),
    "big-endian": (index_of(LONE, header=field(1, 1) + field(2, 1)), DATA, "big-endian"),
    "in another file": (index_of({"a/bias": entry((3,), 0, 12, f3=2)}), DATA, "spread over several"),
    "in slices": (index_of({"a/bias": entry((3,), 0, 12) + field(7, b"x")}), DATA, "spread over several"),
    "a field cut off": (index_of({"a/bias": entry((3,), 0, 12) + varint(9 << 3 | 2) + varint(50)}), DATA, "field of its index is cut off"),
    "a field of no kind": (index_of({"a/bias": varint(9 << 3 | 3)}), DATA, "unknown kind 3"),
    "a number without end": (index_of({"a/bias": b"\x08" + b"\xff" * 12}), DATA, "cut off or too long"),
}  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_refused_by_name(kind):
    index, data, words = DAMAGE[kind]
    with pytest.raises(WeightsError, match=words) as found:
        read_bundle(index, data, X if data is not DATA else ["a/bias"], "net.index")
    assert str(found.value).startswith("net.index is no readable TensorFlow checkpoint: ")
    assert str(found.value).endswith("Fetch it again.")


@settings(max_examples=150, derandomize=True, deadline=None)
@given(st.integers(0, len(INDEX) - 1), st.integers(1, 255), st.integers(0, len(INDEX)))
def test_no_byte_of_an_index_makes_another_error(place, change, length):
    """Whatever is changed or cut: read, or WeightsError; never another exception."""
    changed = bytearray(INDEX)
    changed[place] ^= change
    for text in (bytes(changed), INDEX[:length], INDEX[length:]):
        try:
            found = read_bundle(text, DATA, X)
        except WeightsError:
            continue
        for name, x in X.items():
            np.testing.assert_array_equal(found[name], x)


def test_a_block_that_is_longer_than_the_file_is_refused():
    lying = INDEX[:-48] + (varint(0) + varint(8) + varint(0) + varint(1 << 40)).ljust(40, b"\0") + INDEX[-8:]
    with pytest.raises(WeightsError, match="ends at byte"):
        read_bundle(lying, DATA, X)
    entries = block([(b"k", varint(0) + varint(4))])
    with pytest.raises(WeightsError):
        read_bundle(
            b"\0" * 9 + entries + (varint(0) + varint(0) + varint(9) + varint(len(entries) - 5)).ljust(40, b"\0") + INDEX[-8:],
            DATA,
            X,
        )
