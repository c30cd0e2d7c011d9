"""PyTorch's file format read without PyTorch, so that every run of the tests can compare.

The pickle's instructions are listed by `pickletools` and followed for the few kinds that a state
dict needs; nothing that they name is ever imported.
"""

import pathlib
import pickletools
import zipfile

import numpy as np

DTYPES = {"torch FloatStorage": "<f4", "torch LongStorage": "<i8"}
MARK = object()


def read_state_dict(path: pathlib.Path) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        (pickled,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
        folder = pickled.removesuffix("data.pkl")
        assert archive.read(folder + "byteorder") == b"little"
        state = follow(archive.read(pickled))
        return {
            key: array(description, lambda number: archive.read(f"{folder}data/{number}"))
            for key, description in state.items()
        }


def array(description, read) -> np.ndarray:
    function, ((_, storage), offset, shape, strides, *_) = description
    assert function == "torch._utils _rebuild_tensor_v2"
    kind, number = storage[1:3]
    values = np.frombuffer(read(number), DTYPES[kind])[offset:]
    strides = [stride * values.itemsize for stride in strides]
    return np.lib.stride_tricks.as_strided(values, shape, strides).copy()


def follow(pickled: bytes) -> dict:
    """Give the dictionary that a pickle describes; each call in it is (name, arguments)."""
    stack, memo = [], {}

    def since_mark() -> list:
        at = len(stack) - 1 - stack[::-1].index(MARK)
        items = stack[at + 1 :]
        del stack[at:]
        return items

    for opcode, argument, _ in pickletools.genops(pickled):
        match opcode.name:
            case "GLOBAL" | "BINUNICODE" | "BININT" | "BININT1" | "BININT2":
                stack.append(argument)
            case "NEWFALSE":
                stack.append(False)
            case "MARK":
                stack.append(MARK)
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE":
                stack.append(tuple(since_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                size = int(opcode.name[-1])
                stack[-size:] = [tuple(stack[-size:])]
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "BINPERSID":
                stack.append(("storage", stack.pop()))
            case "REDUCE":
                arguments, function = stack.pop(), stack.pop()
                ordered = function == "collections OrderedDict"
                stack.append({} if ordered else (function, arguments))
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                stack[-1][key] = value
            case "SETITEMS":
                items = since_mark()
                stack[-1].update(zip(items[::2], items[1::2], strict=True))
            case "BUILD":
                stack.pop()  # an attribute of the dictionary
            case "PROTO" | "STOP":
                pass
            case other:
                raise AssertionError(f"an instruction that no state dict needs: {other}")
    (state,) = stack
    return state
