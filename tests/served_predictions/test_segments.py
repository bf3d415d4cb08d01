"""Segments of the log: whatever is cut off or damaged, every frame that is whole is found, and nothing else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from perennial.served_predictions import segments

SALT = 0x1234ABCD
payloads = st.lists(st.binary(max_size=60), min_size=1, max_size=8)


def content_of(payloads: list[bytes]) -> bytes:
    return b"".join(segments.frame(SALT, each, number, number / 3) for number, each in enumerate(payloads))


def found(content: bytes, start: int = 0) -> list[bytes]:
    return [each.payload for each in segments.scan(content, SALT, start).frames]


@given(payloads, st.data())
def test_a_truncated_segment_is_a_prefix(written: list[bytes], data: st.DataObject) -> None:
    whole = content_of(written)
    cut = data.draw(st.integers(0, len(whole)))
    scan = segments.scan(whole[:cut], SALT)
    read = [each.payload for each in scan.frames]
    assert read == written[: len(read)]
    assert not scan.damaged
    assert scan.end <= cut
    assert cut - scan.end < segments._HEADER.size + 60
    if cut == len(whole):
        assert read == written


@given(payloads, st.data())
def test_a_damaged_byte_costs_one_frame(written: list[bytes], data: st.DataObject) -> None:
    whole = bytearray(content_of(written))
    frames = segments.scan(bytes(whole), SALT).frames
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    hit = next(number for number, each in enumerate(frames) if place < each.end)
    scan = segments.scan(bytes(whole), SALT)
    assert [each.payload for each in scan.frames] == written[:hit] + written[hit + 1 :]
    is_last = hit == len(written) - 1
    assert scan.damaged == ([] if is_last else [(frames[hit].start, frames[hit].end)])


@given(payloads)
def test_frames_keep_what_they_were_given(written: list[bytes]) -> None:
    frames = segments.scan(content_of(written), SALT).frames
    assert [each.count for each in frames] == list(range(len(written)))
    assert all(abs(each.answered_at.timestamp() - number / 3) < 1e-5 for number, each in enumerate(frames))
    assert found(content_of(written), frames[-1].start) == written[-1:]


def test_what_a_caller_sends_is_no_frame() -> None:
    forged = segments.frame(SALT + 1, b"forged", 1)
    whole = bytearray(content_of([b"first", forged, b"last"]))
    assert found(bytes(whole)) == [b"first", forged, b"last"]
    whole[segments.scan(bytes(whole), SALT).frames[1].start] ^= 1
    assert found(bytes(whole)) == [b"first", b"last"]


def test_names_sort_by_age_and_carry_the_salt() -> None:
    names = [segments.new_name() for _ in range(3)]
    assert names == sorted(names)
    assert segments.salt_of(f"{names[0]}{segments.SUFFIX}") == int(names[0][-8:], 16)
