"""Cubes: one file that is swept along attack, stack, defence and budget; every cell is a scenario of its own."""

from testbed.cube.load import is_cube, load_cube
from testbed.cube.model import AXES, Cell, Cube
from testbed.cube.running import CUBE, CubeResult, derive_cube, is_cube_run, run_cube

__all__ = [
    "AXES",
    "CUBE",
    "Cell",
    "Cube",
    "CubeResult",
    "derive_cube",
    "is_cube",
    "is_cube_run",
    "load_cube",
    "run_cube",
]
