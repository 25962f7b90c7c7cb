"""What a pickle would build, counted before anything of it is built: how deep, how many, how long.

A pickle of a few bytes can ask for structures that end Python itself: tuples nested so deeply that freeing them overflows the stack, a tuple of
itself twice, forty times over, whose hash is computed for ever, numbers under which its reader makes room for gigabytes. Its instructions are gone
through once, with a stack of depths in place of a stack of objects.
"""

from __future__ import annotations

import os
import pickletools
from typing import Any, BinaryIO, cast

MOST_DEEP = 32  # containers within one another: labels of a track are three or four deep, settings in a checkpoint a few more
MOST_WEIGHT = 10_000_000  # objects that a container comes to when all that it repeats is counted again: what a hash, or a look at each, visits
MOST_REPEATED = 20  # times that objects are repeated on the average, where there are more than that
MOST_OBJECTS = 50_000_000
MOST_BITS = 64  # of a whole number: labels are smaller
_PUTS = ("PUT", "BINPUT", "LONG_BINPUT")
_GETS = ("GET", "BINGET", "LONG_BINGET")
_TUPLES = ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "FROZENSET")
_ADDS = ("APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD")
_MARK = object()


class Clamped:
    """A file whose reads ask for no more than is there: lengths that a pickle claims are not believed."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self.size = file.seek(0, os.SEEK_END)
        file.seek(0)
        self.seek, self.tell, self.readline = file.seek, file.tell, file.readline

    def read(self, n: int = -1) -> bytes:
        """As a file's."""
        left = self.size - self._file.tell()
        return self._file.read(left if n < 0 or n > left else n)

    def readinto(self, buffer: Any) -> int:
        """As a file's."""
        found: int = self._file.readinto(buffer)  # type: ignore[attr-defined]
        return found


class _Node:
    """What stands on the stack for an object: containers within it, and what its hash would visit."""

    __slots__ = ("depth", "weight")

    def __init__(self, depth: int = 0, weight: int = 1):
        self.depth, self.weight = depth, weight


_LEAF = _Node()


def check_pickle(file: Clamped, error: type[ValueError], most_bits: int = MOST_BITS) -> None:
    """Raise `error` for a pickle that would exhaust memory, stack or patience; the file is read to the pickle's end.

    most_bits: of a whole number.

    Raises what pickletools raises for one that is damaged: ValueError.
    """
    most_memo = max(file.size, 1 << 20)
    stack: list[Any] = []
    memo: dict[int, _Node] = {}
    objects = 0
    for code, given, _ in pickletools.genops(file):  # type: ignore[arg-type]
        name, argument = code.name, cast(int, given)
        if name in _PUTS or name == "MEMOIZE":
            number = len(memo) if name == "MEMOIZE" else argument
            if not 0 <= number <= most_memo:
                raise error(f"the pickle remembers something as number {number}, which is meant to exhaust the memory.")
            memo[number] = _top(stack)
            continue
        if name in _GETS:
            stack.append(memo.get(argument, _LEAF))
            continue
        if isinstance(argument, int) and argument.bit_length() > most_bits:
            raise error(f"the pickle holds a whole number of more than {most_bits} bits, which is not expected of it.")
        if name == "MARK":
            stack.append(_MARK)
            continue
        taken = _taken(stack, code)
        if name in ("POP", "POP_MARK", "STOP"):
            continue
        if name == "DUP":
            stack += [taken[0], taken[0]]
            continue
        if name in _ADDS:
            node = _top(stack)
            if node is _LEAF:
                node = stack[-1] = _Node(1) if stack else _LEAF
        else:
            objects += 1
            if not taken and not name.startswith(("EMPTY_", "TUPLE", "LIST", "DICT")):
                stack.append(_LEAF)
                continue
            node = _Node(1)
            stack.append(node)
        node.depth = max(node.depth, 1 + max((one.depth for one in taken), default=0))
        node.weight += sum(one.weight for one in taken)
        most = MOST_WEIGHT if name in _TUPLES else max(MOST_WEIGHT, MOST_REPEATED * objects)
        if node.depth > MOST_DEEP or node.weight > most or objects > MOST_OBJECTS:
            raise error(
                f"the pickle is nested more than {MOST_DEEP} deep, repeats itself without end, or holds more than {MOST_OBJECTS:,} objects: it is "
                "meant to exhaust the memory, or of another kind."
            )


def _top(stack: list[Any]) -> _Node:
    return stack[-1] if stack and stack[-1] is not _MARK else _LEAF


def _taken(stack: list[Any], code: Any) -> list[_Node]:
    """What an instruction takes from the stack, taken; of those that add to a container, the container stays."""
    before = code.stack_before
    if pickletools.markobject in before:
        taken = []
        while stack and (one := stack.pop()) is not _MARK:
            taken.append(one)
        extra = before.index(pickletools.markobject) if code.name not in _ADDS else 0
        for _ in range(extra):
            if stack and stack[-1] is not _MARK:
                taken.append(stack.pop())
        return taken
    count = len(before) - (1 if code.name in _ADDS else 0)
    taken = []
    for _ in range(count):
        if not stack or stack[-1] is _MARK:
            break
        taken.append(stack.pop())
    return taken
