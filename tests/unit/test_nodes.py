"""Whether a cluster can hold a stage: on one node, whole, GPUs included."""

import pytest

from lacuna.errors import UserError
from sweeps.graph import Stage
from sweeps.nodes import check_fits, resources_of

NODES = [{"CPU": 16.0}, {"CPU": 4.0, "GPU": 2.0, "memory": 1e9}]


def stage(cpus: float, gpus: float) -> Stage:
    return Stage("trial", "npo", {}, {}, {}, cpus=cpus, gpus=gpus)


@pytest.mark.parametrize(("cpus", "gpus"), [(16, 0), (4, 2), (1, 0.25), (0.5, 1)])
def test_what_one_node_has_fits(cpus: float, gpus: float) -> None:
    check_fits(stage(cpus, gpus), NODES)


@pytest.mark.parametrize(
    ("cpus", "gpus", "message"),
    [
        (17, 0, "npo needs 17 CPU, but no Ray node has that (most: 16 CPU): lower resources"),
        (1, 3, "npo needs 1 CPU and 3 GPU, but no Ray node has that (most: 16 CPU and 2 GPU)"),
        (8, 1, "npo needs 8 CPU and 1 GPU, but no Ray node has that"),
    ],
)
def test_what_no_single_node_has_is_refused_in_one_line(
    cpus: float, gpus: float, message: str
) -> None:
    with pytest.raises(UserError) as caught:
        check_fits(stage(cpus, gpus), NODES)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_share_of_a_gpu_needs_a_node_with_one() -> None:
    with pytest.raises(UserError, match=r"needs 1 CPU and 0.25 GPU.*resources.trial"):
        check_fits(stage(1, 0.25), NODES[:1])
    assert resources_of(stage(1, 0.25)) == {"CPU": 1, "GPU": 0.25}
