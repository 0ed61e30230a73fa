"""The inner loops of the n-gram index, compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np

F = TypeVar("F", bound=Callable[..., Any])
MARKS = 3
"""Codes below are marks. Of these only the one behind a title continues an n-gram."""
TITLE_END = 2
BLOCK = 64


def compiled(function: F) -> F:
    """Compile to machine code, kept beside the source."""
    made: F = numba.njit(cache=True, nogil=True)(function)
    return made


@compiled
def whole(suffixes: np.ndarray, width: int) -> np.ndarray:
    """Suffixes of bytes that begin with a code of `width` bytes, as places of codes."""
    found = np.empty(len(suffixes) // width, dtype=np.int32)
    count = 0
    for suffix in suffixes:
        if suffix % width == 0:
            found[count] = suffix // width
            count += 1
    return found


@compiled
def common_prefixes(text: np.ndarray, suffixes: np.ndarray) -> np.ndarray:
    """Codes that each suffix shares with the one before it, at most 255 (Kärkkäinen et al. 2009): (n,) uint8."""
    n = len(text)
    found = np.zeros(n, dtype=np.uint8)
    if n == 0:
        return found
    before = np.empty(n, dtype=np.int32)
    before[suffixes[0]] = -1
    for row in range(1, n):
        before[suffixes[row]] = suffixes[row - 1]
    length = 0
    for place in range(n):
        other = before[place]
        if other < 0:
            length = 0
        else:
            most = n - max(place, other)
            while length < most and text[place + length] == text[other + length]:
                length += 1
        before[place] = min(length, 255)
        if length > 0:
            length -= 1
    for row in range(n):
        found[row] = before[suffixes[row]]
    return found


@compiled
def narrowed(
    text: np.ndarray,
    suffixes: np.ndarray,
    first: np.ndarray,
    pairs: np.ndarray,
    follower: np.ndarray,
    follower_at: np.ndarray,
    lo: np.ndarray,
    hi: np.ndarray,
    depth: np.ndarray,
    codes: np.ndarray,
) -> None:
    """Append a code to every range, in place; ranges of n-grams that do not occur become empty."""
    for beam in range(len(lo)):
        code, deep = codes[beam], depth[beam]
        if hi[beam] <= lo[beam]:
            pass
        elif code < 0 or (deep > 0 and text[suffixes[lo[beam]] + deep - 1] == TITLE_END):
            hi[beam] = lo[beam]
        elif deep == 0:
            lo[beam], hi[beam] = first[code], first[code + 1]
        elif deep == 1 and len(pairs):
            leading = text[suffixes[lo[beam]]]
            begin, end = pairs[leading], pairs[leading + 1]
            at, past = begin, end
            while at < past:
                middle = (at + past) // 2
                if follower[middle] < code:
                    at = middle + 1
                else:
                    past = middle
            if at < end and follower[at] == code:
                lo[beam] = follower_at[at]
                if at + 1 < end:
                    hi[beam] = follower_at[at + 1]
            else:
                hi[beam] = lo[beam]
        else:
            low, high = lo[beam], hi[beam]
            end = high
            while low < high:
                middle = (low + high) // 2
                if text[suffixes[middle] + deep] < code:
                    low = middle + 1
                else:
                    high = middle
            lo[beam] = low
            high = end
            while low < high:
                middle = (low + high) // 2
                if text[suffixes[middle] + deep] <= code:
                    low = middle + 1
                else:
                    high = middle
            hi[beam] = low
        depth[beam] = deep + 1


@compiled
def _branches(
    shared: np.ndarray, lowest: np.ndarray, low: int, high: int, deep: int, begins: np.ndarray, used: int
) -> int:
    """Write rows from `low` that share at most `deep` codes with the one before; returns how many are used then."""
    row, most = low, np.uint8(deep)
    while row < high:
        edge = min(high, (row // BLOCK + 1) * BLOCK)
        if edge - row < BLOCK or lowest[row // BLOCK] <= deep:
            part, found, kept = shared[row:edge], begins[used:], 0
            for at in range(len(part)):  # written in any case and kept if it counts: branches are slow here
                found[kept] = row + at
                kept += part[at] <= most
            used += kept
        row = edge
    return used


@compiled
def opened(
    text: np.ndarray,
    suffixes: np.ndarray,
    shared: np.ndarray,
    lowest: np.ndarray,
    alphabet: np.ndarray,
    first: np.ndarray,
    pairs: np.ndarray,
    follower: np.ndarray,
    follower_at: np.ndarray,
    lo: np.ndarray,
    hi: np.ndarray,
    depth: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Distinct next tokens of every range with where their ranges begin and how wide they are, in CSR form.

    The children of a range begin where a suffix shares no more than the n-gram with the one before. All beams go
    through each of three passes, so that reads of one need not wait for those of another.
    """
    types, beams, most = len(alphabet), len(lo), 0
    ahead = np.full(beams, -1, dtype=np.int32)  # code behind the first suffix, -1 where nothing may follow
    for beam in range(beams):
        low, deep = lo[beam], depth[beam]
        if hi[beam] > low:
            place = suffixes[low] + deep
            if deep == 0:
                ahead[beam] = MARKS
                most += types
            elif text[place - 1] != TITLE_END:
                ahead[beam] = text[place]
                leading = text[place - 1]
                known = deep == 1 and len(pairs)
                most += pairs[leading + 1] - pairs[leading] if known else min(hi[beam] - low, types)
    ptr = np.zeros(beams + 1, dtype=np.int64)
    tokens = np.empty(most, dtype=np.int32)
    begins = np.empty(most + 1, dtype=np.int32)  # one more, for a row that is looked at and not kept
    counts = np.empty(most, dtype=np.int32)
    used = 0
    for beam in range(beams):
        low, high, deep = lo[beam], hi[beam], depth[beam]
        if ahead[beam] < 0:
            pass
        elif deep == 0:
            for code in range(MARKS, types):
                tokens[used], begins[used] = alphabet[code], first[code]
                counts[used] = first[code + 1] - first[code]
                used += 1
        elif deep == 1 and len(pairs):
            leading = text[suffixes[low]]
            begin, end = pairs[leading], pairs[leading + 1]
            while begin < end and follower[begin] < TITLE_END:
                begin += 1
            for at in range(begin, end):
                tokens[used], begins[used] = alphabet[follower[at]], follower_at[at]
                counts[used] = (follower_at[at + 1] if at + 1 < end else high) - follower_at[at]
                used += 1
        else:
            if ahead[beam] >= TITLE_END:  # otherwise the first suffixes are those where the document ends
                begins[used] = low
                used += 1
            used = _branches(shared, lowest, low + 1, high, deep, begins, used)
        ptr[beam + 1] = used
    for beam in range(beams):
        deep = depth[beam]
        if ahead[beam] >= 0 and (deep > 1 or (deep == 1 and not len(pairs))):
            behind, last = text[deep:], ptr[beam + 1] - 1
            for at in range(ptr[beam], last + 1):
                begin = begins[at]
                tokens[at] = alphabet[behind[np.uint32(suffixes[np.uint32(begin)])]]
                counts[at] = (begins[at + 1] if at < last else hi[beam]) - begin
    return ptr, tokens[:used], begins[:used], counts[:used]


@compiled
def best(ptr: np.ndarray, tokens: np.ndarray, scores: np.ndarray, k: int) -> np.ndarray:
    """Places of the k children of each beam with the highest scores, best first, -1 where there are fewer: (B, k).

    `scores`: (B, V) by token id; marks (negative tokens) index from the end. Ties go to the lower token.
    """
    found = np.full((len(ptr) - 1, k), -1, dtype=np.int64)
    values = np.empty(k, dtype=scores.dtype)
    for beam in range(len(ptr) - 1):
        held = 0
        for at in range(ptr[beam], ptr[beam + 1]):
            value = scores[beam, tokens[at]]
            if (held == k and not value > values[k - 1]) or value == -np.inf:
                continue
            place = held if held < k else k - 1
            while place > 0 and value > values[place - 1]:
                values[place] = values[place - 1]
                found[beam, place] = found[beam, place - 1]
                place -= 1
            values[place], found[beam, place] = value, at
            held = min(k, held + 1)
    return found


@compiled
def located(
    suffixes: np.ndarray, documents: np.ndarray, lo: np.ndarray, hi: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Documents and places in them of all rows of the ranges, in CSR form."""
    ptr = np.zeros(len(lo) + 1, dtype=np.int64)
    for beam in range(len(lo)):
        ptr[beam + 1] = ptr[beam] + max(0, hi[beam] - lo[beam])
    owners = np.empty(ptr[-1], dtype=np.int32)
    places = np.empty(ptr[-1], dtype=np.int32)
    at = 0
    for beam in range(len(lo)):
        for row in range(lo[beam], hi[beam]):
            place = suffixes[row]
            low, high = 0, len(documents) - 1
            while low < high:  # the last document that begins at or before the place
                middle = (low + high + 1) // 2
                if documents[middle] <= place:
                    low = middle
                else:
                    high = middle - 1
            owners[at], places[at] = low, place - documents[low]
            at += 1
    return ptr, owners, places
