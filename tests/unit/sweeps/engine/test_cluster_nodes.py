"""Whether a cluster can hold a stage: on one node, whole, GPUs included."""

from pathlib import Path

import pytest

from lacuna.errors import UserError
from sweeps.engine.on_ray.cluster import check_fits, node_types, resources_of
from sweeps.stage import Stage

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


RAY_UP = """
max_workers: 8
available_node_types:
  head: {resources: {CPU: 16}, max_workers: 0}
  gpu: {resources: {CPU: 8, GPU: 1}, min_workers: 0, max_workers: 8}
"""


def test_what_an_autoscaler_can_add_is_waited_for_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "ray_bootstrap_config.yaml"
    file.write_text(RAY_UP)
    types = node_types(file, {})
    assert types == [{"CPU": 8, "GPU": 1}]
    head = [{"CPU": 16.0}]
    assert check_fits(stage(16, 0), head, types) == ""
    line = check_fits(stage(1, 0.5), head, types)
    assert line == "npo waits for the cluster to add a node with 1 CPU and 0.5 GPU"
    with pytest.raises(UserError, match=r"needs 1 CPU and 2 GPU.*\(most: 16 CPU and 1 GPU\)"):
        check_fits(stage(1, 2), head, types)


def test_a_cluster_that_keeps_its_node_types_to_itself_is_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "ray_bootstrap_config.yaml"
    assert node_types(file, {}) == [], "nobody adds nodes to a fixed cluster"
    pod = {"KUBERAY_GEN_RAY_START_CMD": "ray start --head"}
    assert node_types(file, pod) is None
    file.write_text(RAY_UP.replace("{CPU: 8, GPU: 1}", "{}"))
    assert node_types(file, {}) is None, "the cloud fills it in"
    assert check_fits(stage(99, 0), NODES, None).endswith("a node with 99 CPU, if it has such")
    assert check_fits(stage(1, 1), NODES, None) == ""
