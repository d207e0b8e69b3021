"""How functions that only kernels call are compiled: once, within the kernel. Reaches into numba's compiler."""

from __future__ import annotations

from types import SimpleNamespace

from numba.core import compiler
from numba.core.codegen import JITCodeLibrary


class _Part(JITCodeLibrary):
    """The code of a function that only kernels call: linked into them, neither optimised nor translated by itself.

    numba would do both for each function, then again within its caller, then within that one's, and so on: most of
    the time a kernel takes to compile.
    """

    codegen = SimpleNamespace(set_env=lambda name, environment: None)  # for exceptions, which kernels do not raise

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        self._ensure_finalized()
        return 0


class Inner(compiler.Compiler):
    """Compiles into a `_Part`."""

    def define_pipelines(self):
        name = self.state.func_id.func_qualname
        self.state.library = _Part(self.state.targetctx.codegen(), name)
        return super().define_pipelines()
