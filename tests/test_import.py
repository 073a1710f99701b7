"""`import torchzero` brings in nothing heavy."""

import subprocess
import sys

SCRIPT = """
import sys
import torch
before = set(sys.modules)
import torchzero
print("\\n".join(sorted(set(sys.modules) - before)))
"""
LIGHT = {"torchzero", "optree", "typing_extensions"}
HEAVY_PARTS_OF_TORCH = ("_dynamo", "_inductor", "_functorch.aot_autograd", "_export", "export", "onnx", "testing")


def test_import_needs_optree_and_the_standard_library_alone() -> None:
    out = subprocess.run([sys.executable, "-c", SCRIPT], check=True, capture_output=True, text=True).stdout
    new = out.split()
    assert "torchzero.m" in new
    packages = {name.partition(".")[0] for name in new} - set(sys.stdlib_module_names)
    assert packages <= LIGHT | {"torch"}
    heavy = tuple(f"torch.{part}" for part in HEAVY_PARTS_OF_TORCH)
    assert [name for name in new if name.startswith(heavy)] == []
