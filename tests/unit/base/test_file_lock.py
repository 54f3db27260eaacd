import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

from filelock import Timeout

from sparta_ray.base.file_lock import file_lock


def is_free(path):
    try:
        with file_lock(path).acquire(timeout=0):
            return True
    except Timeout:
        return False


def test_one_holder_at_a_time_in_threads_and_in_one_thread(tmp_path):
    path, seen = tmp_path / "a.lock", []
    with file_lock(path):
        assert not is_free(path)
        thread = threading.Thread(target=lambda: seen.append(is_free(path)))
        thread.start()
        thread.join()
    assert seen == [False]
    assert is_free(path)
    assert path.exists()  # deleting it would let two processes lock two files of this name


def test_a_waiting_process_gets_the_lock_when_its_holder_is_killed(tmp_path):
    path = tmp_path / "a.lock"
    program = f"""
import time
from pathlib import Path
from sparta_ray.base.file_lock import file_lock
with file_lock(Path({str(path)!r})):
    print("held", flush=True)
    time.sleep(100)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        assert not is_free(path)
        killer = threading.Timer(0.3, holder.kill)
        killer.start()
        began = time.monotonic()
        with file_lock(path).acquire(timeout=30):
            assert time.monotonic() - began > 0.2
        killer.join()


def test_a_forked_child_does_not_keep_the_lock_of_a_killed_parent(tmp_path):
    path = tmp_path / "a.lock"
    reading, writing = os.pipe()
    parent = os.fork()
    if parent == 0:
        lock = file_lock(path)
        lock.acquire()
        child = os.fork()
        if child == 0:
            time.sleep(100)
            os._exit(0)
        os.write(writing, child.to_bytes(8))
        time.sleep(100)
        os._exit(0)
    child = int.from_bytes(os.read(reading, 8))
    try:
        assert not is_free(path)
        os.kill(parent, signal.SIGKILL)
        os.waitpid(parent, 0)
        assert os.kill(child, 0) is None  # the child still runs
        assert is_free(path)
    finally:
        os.kill(child, signal.SIGKILL)


def _count_up(path, times):
    for _ in range(times):
        with file_lock(path.with_suffix(".lock")):
            path.write_text(str(int(path.read_text()) + 1))


def test_two_processes_never_hold_it_together(tmp_path):
    path = tmp_path / "count"
    path.write_text("0")
    processes = [
        multiprocessing.get_context("fork").Process(target=_count_up, args=(path, 50))
        for _ in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert path.read_text() == "100"
