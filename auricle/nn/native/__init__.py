"""Inner loops in C, compiled on the user's machine at first use. Each has a PyTorch form that gives the same numbers.

PyTorch goes through memory once for every operation; what these loops fuse stays in the processor's cache. They are
used for float32 tensors on a CPU where there is a C compiler (`CC`, or cc, gcc or clang on the path); `auricle doctor`
says whether. Everywhere else, and under torch.compile, the PyTorch form runs. AURICLE_KERNELS=off turns them off.
"""

from __future__ import annotations

import ctypes
import functools
import logging
import os
import platform
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from auricle.core.cache import cache_folder, combined_key
from auricle.nn.native.store import load

_FLAGS = ("-O3", "-fPIC", "-shared", "-fno-math-errno", "-fno-trapping-math", "-fvisibility=hidden")
# Not every compiler knows these; the first set that compiles is taken: all of this processor, threads.
_WISHES = (("-march=native", "-fopenmp"), ("-march=native",), ("-mcpu=native",), ())
_log = logging.getLogger(__name__)
_off = 0


def compiler() -> list[str] | None:
    """Give the command of the C compiler, or None where there is none."""
    given = shlex.split(os.environ.get("CC", ""))
    for command in (given, ["cc"], ["gcc"], ["clang"]):
        if command and shutil.which(command[0]):
            return command
    return None


def state() -> str:
    """Say in a few words whether the loops are used, and why not."""
    if os.environ.get("AURICLE_KERNELS") == "off":
        return "off (AURICLE_KERNELS=off)"
    if platform.system() == "Windows":
        return "not used on Windows: PyTorch operations instead"
    if compiler() is None:
        return "no C compiler found: PyTorch operations instead, slower; install gcc or clang, or set CC"
    return (
        "compiled and in use" if _library() is not None else "do not compile here: PyTorch operations instead, slower"
    )


def usable(*tensors: Tensor | None) -> bool:
    """Say whether the loops can work on these tensors: float32 on a CPU, outside of a compiled graph."""
    if _off or torch.compiler.is_compiling():
        return False
    for tensor in tensors:
        if tensor is not None and (tensor.dtype != torch.float32 or tensor.device.type != "cpu"):
            return False
    return _library() is not None


def call(name: str, *arguments: Tensor | int | float | None) -> None:
    """Call a loop by name; it uses as many threads as PyTorch does.

    Args:
        name: a function of the C files.
        arguments: tensors, which must lie contiguous in memory, whole numbers, floats, or None for no tensor; the
            number of threads is added at the end.

    Raises:
        ValueError: a tensor with gaps.
    """
    library = _library()
    assert library is not None  # `usable` was asked
    given = [_argument(name, argument) for argument in (*arguments, torch.get_num_threads())]
    getattr(library, name)(*given)


def constant(name: str) -> int:
    """Give a whole number that the C files export; 0 where there is no library.

    Args:
        name: of a ``const long``.
    """
    library = _library()
    return 0 if library is None else ctypes.c_long.in_dll(library, name).value


def _argument(name: str, argument: Tensor | int | float | None) -> ctypes.c_void_p | ctypes.c_float | ctypes.c_long:
    if argument is None:
        return ctypes.c_void_p(None)
    if isinstance(argument, Tensor):
        if not argument.is_contiguous():
            raise ValueError(f"{name} was given a tensor with gaps, shape {tuple(argument.shape)}")
        return ctypes.c_void_p(argument.data_ptr())
    return ctypes.c_float(argument) if isinstance(argument, float) else ctypes.c_long(argument)


@contextmanager
def disabled() -> Iterator[None]:
    """Use the PyTorch forms inside the block, as where there is no compiler."""
    global _off
    _off += 1
    try:
        yield
    finally:
        _off -= 1


@functools.cache
def _library() -> ctypes.CDLL | None:
    command = compiler()
    if command is None or os.environ.get("AURICLE_KERNELS") == "off" or platform.system() == "Windows":
        return None
    folder = Path(__file__).parent
    sources = sorted(folder.glob("*.c"))
    content = [path.read_bytes() for path in (*sources, *sorted(folder.glob("*.h")))]
    version = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False).stdout
    key = combined_key([*content, version, " ".join((*command, *_FLAGS)), _processor()])
    try:
        return load(cache_folder() / "kernels", key[:32], partial(_build, command, sources))
    except OSError as error:
        _log.warning("the compiled loops cannot be loaded (%s); PyTorch operations are used instead", error)
        return None


def _build(command: list[str], sources: list[Path], out: Path) -> bool:
    _log.info("compiling the inner loops of auricle.nn, once: a few seconds")
    reason = ""
    for wishes in _WISHES:
        try:
            make = [*command, *_FLAGS, *wishes, *map(str, sources), "-o", str(out), "-lm"]
            subprocess.run(make, capture_output=True, text=True, check=True)
            return True
        except subprocess.CalledProcessError as error:
            reason = (error.stderr.strip().splitlines() or [str(error)])[-1]
        except OSError as error:
            reason = str(error)
    _log.warning("the loops in C do not compile here (%s); PyTorch operations are used instead", reason)
    return False


def _processor() -> str:
    """Name the processor and what it can do: a cache folder may be shared by machines that differ."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    return "\n".join(dict.fromkeys(line for line in lines if line.startswith(("flags", "Features", "model name"))))
