"""Tell Ray when Google takes this spot machine away: ``python -m sparta_ray.on_ray.spot_notice``.

A spot machine learns from its metadata server that it is about to end, half a minute ahead. Nothing
of Ray listens there. This process does, on each such machine, and has the node drained: then runs
make a checkpoint, and no work begins there any more (docs/decisions/0015).
"""

import argparse
import os
import subprocess
import sys
import time
from http.client import HTTPException
from urllib.request import ProxyHandler, Request, build_opener

import ray

NOTICE_SECONDS = 30
"""From the notice to the machine's end, at most."""

_WAIT_SECONDS = 300
_AGAIN_SECONDS = 5.0


def main() -> None:
    """Wait for the notice, however long, and pass it on."""
    parser = argparse.ArgumentParser(
        prog="python -m sparta_ray.on_ray.spot_notice", description=__doc__
    )
    parser.add_argument("--address", required=True, help="of the cluster's head, with its port")
    parser.add_argument("--node-id", help="of the node that goes; without it, this machine's")
    asked = parser.parse_args()
    node_id = asked.node_id or this_node(asked.address)
    host = os.environ.get("GCE_METADATA_HOST", "metadata.google.internal")
    print(f"node {node_id} waits for the word of {host} that it is being taken away", flush=True)
    await_notice(f"http://{host}/computeMetadata/v1/instance/preempted")
    print("it is being taken away", flush=True)
    drain(asked.address, node_id)


def this_node(address: str) -> str:
    """Return the id of the node that runs on this machine; asked ahead, as it takes seconds."""
    with ray.init(address=address, log_to_driver=False, logging_level="WARNING"):
        return str(ray.get_runtime_context().get_node_id())


def await_notice(url: str, again_seconds: float = _AGAIN_SECONDS) -> None:
    """Return once the metadata server says at `url` that this machine is being taken away.

    Args:
        url: Of the value that turns from FALSE to TRUE.
        again_seconds: After an answer that cannot be had, until it is asked again.
    """
    ask = build_opener(ProxyHandler({})).open  # it is on this machine's own network
    said, since = "", ""
    while True:
        question = Request(url + since, headers={"Metadata-Flavor": "Google"})
        try:
            with ask(question, timeout=_WAIT_SECONDS + 30) as answer:
                if answer.read().strip() == b"TRUE":
                    return
                etag = answer.headers["ETag"]
        except (OSError, HTTPException) as error:
            etag = None
            if str(error) != said:
                said = str(error)
                print(f"{url} does not answer, and is asked again: {said}", flush=True)
        if etag is None:
            since = ""
            time.sleep(again_seconds)
        else:
            since = f"?wait_for_change=true&timeout_sec={_WAIT_SECONDS}&last_etag={etag}"


def drain(address: str, node_id: str) -> None:
    """Have a node drained, asking three times if need be.

    Raises:
        SystemExit: Ray refuses; it has said why.
    """
    command = [
        sys.executable, "-m", "ray.scripts.scripts", "drain-node",
        "--address", address, "--node-id", node_id,
        "--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "spot machine taken away",
        "--deadline-remaining-seconds", str(NOTICE_SECONDS),
    ]  # fmt: skip
    for _ in range(3):
        if subprocess.run(command, check=False).returncode == 0:
            return
    sys.exit(1)


if __name__ == "__main__":
    main()
