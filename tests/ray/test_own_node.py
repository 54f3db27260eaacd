import os
import subprocess
import sys

import ray

from tests.metadata import FakeMetadata


def test_a_machine_knows_its_own_node(cluster: None) -> None:
    context = ray.get_runtime_context()
    watch = [
        sys.executable,
        "-m",
        "sparta_ray.on_ray.spot_notice",
        "--address",
        context.gcs_address,
    ]
    with FakeMetadata().serving() as metadata:
        environment = os.environ | {"GCE_METADATA_HOST": metadata.host}
        with subprocess.Popen(
            watch, env=environment, stdout=subprocess.PIPE, text=True
        ) as watching:
            assert watching.stdout is not None
            line = watching.stdout.readline()
            watching.terminate()
    assert line.startswith(f"node {context.get_node_id()} waits for the word of {metadata.host}")
