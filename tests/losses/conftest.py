"""The small inverse problems of the methods' tests."""

from tests.methods.conftest import generator, make_problem, truth

__all__ = ["generator", "make_problem", "truth"]
