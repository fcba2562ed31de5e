"""Compiles the CPU kernel of `esmkit.layers.native` into the wheel; `python hatch_build.py` compiles it in place.

Needs no torch: the kernel has a plain C interface. `ESMKIT_NATIVE=0` builds a pure Python wheel, `ESMKIT_NATIVE=1`
makes a missing compiler an error; otherwise the kernel is built where there is a compiler (`CXX`, c++, g++, clang++).
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.tags import sys_tags

FOLDER = Path(__file__).parent / "src" / "esmkit" / "layers" / "native"
LIBRARY = FOLDER / "attend.so"
FLAGS = ["-std=c++17", "-O3", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra"]
FLAGS += ["-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"]  # never -ffast-math: NaN must stay NaN
IS_X86 = platform.machine().lower() in ("x86_64", "amd64")
# Instruction set: vector lanes, rows of a register tile (as many as the registers hold), compiler flags.
LEVELS: dict[str, tuple[int, int, list[str]]] = {"generic": (4, 4 if IS_X86 else 8, [])}
if IS_X86:
    avx512 = "-mavx2 -mfma -mavx512f -mavx512dq -mavx512bw -mavx512vl -mprefer-vector-width=512"
    LEVELS |= {"avx2": (8, 4, ["-mavx2", "-mfma"]), "avx512": (16, 8, avx512.split())}


class NativeBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Adds the compiled kernel to the wheel and names the platform in its tag."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it collects the files of a wheel."""
        wanted = os.environ.get("ESMKIT_NATIVE", "")
        if wanted not in ("", "0", "1"):
            raise ValueError(f"ESMKIT_NATIVE={wanted!r}: use 0 (no kernel), 1 (kernel or error), or leave it unset")
        if wanted == "0":
            return
        try:
            compile_kernel()
        except (OSError, subprocess.CalledProcessError) as error:
            if wanted == "1":
                raise
            self.app.display_warning(f"esmkit is built without its CPU kernel, attention will be slower: {error}")
            return
        build_data["artifacts"].append(f"/{LIBRARY.relative_to(self.root).as_posix()}")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{_platform_tag()}"


def compile_kernel(*extra_flags: str) -> Path:
    """Compiles the kernel once per instruction set and links it to LIBRARY, replaced in one step.

    Raises:
        FileNotFoundError: there is no C++ compiler.
        subprocess.CalledProcessError: it failed.
    """
    compiler = os.environ.get("CXX") or next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), None)
    if compiler is None or sys.platform == "win32":
        raise FileNotFoundError("no C++ compiler for this platform: install g++ or clang++, or set CXX")
    command = [*compiler.split(), *FLAGS, *extra_flags]
    with tempfile.TemporaryDirectory(dir=FOLDER, prefix=".build-") as folder:
        linked = Path(folder) / LIBRARY.name
        objects = [f"{folder}/{level}.o" for level in LEVELS]
        for made, (level, (lanes, tile, flags)) in zip(objects, LEVELS.items(), strict=True):
            defines = [f"-DESMKIT_LEVEL=esmkit_{level}", f"-DESMKIT_LANES={lanes}", f"-DESMKIT_TILE={tile}"]
            _run([*command, *flags, *defines, "-c", "attend.cpp", "-o", made])
        define = ["-DESMKIT_X86"] if IS_X86 else []
        _run([*command, *define, "-pthread", "-shared", "entry.cpp", *objects, "-o", str(linked)])
        linked.replace(LIBRARY)
    return LIBRARY


def _run(command: list[str]) -> None:
    subprocess.run(command, cwd=FOLDER, check=True)  # noqa: S603 - the builder's own compiler


def _platform_tag() -> str:
    """This platform's own tag; manylinux and musllinux are promises that auditwheel makes."""
    return next(tag.platform for tag in sys_tags() if not tag.platform.startswith(("manylinux", "musllinux")))


if __name__ == "__main__":
    print(compile_kernel("-Werror"))  # noqa: T201
