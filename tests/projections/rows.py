"""The projections."""

import torch

import torchzero as tz
from tests.rows import Row


def _children() -> list[tz.Module]:
    return [tz.m.Adam(0.8, 0.95), tz.m.LR(0.3)]


ROWS = {
    "ProjectionBase": Row(
        lambda: tz.m.ProjectionBase(_children()),
        oracle="tests/projections/test_projection_base.py::test_children_see_what_the_flags_say",
        more=(lambda: tz.m.ProjectionBase(_children(), project_params=True, project_grad=True),),
    ),
    "VectorProjection": Row(lambda: tz.m.VectorProjection(_children())),
    "ScalarProjection": Row(lambda: tz.m.ScalarProjection(_children())),
    "To": Row(lambda: tz.m.To(_children(), torch.float64)),
    "ViewAsReal": Row(lambda: tz.m.ViewAsReal(_children())),
}
