"""Locks between the processes of one machine, as files on its disks."""

from pathlib import Path

from filelock import FileLock


def file_lock(path: Path) -> FileLock:
    """Return a lock on the file at `path`, which is created if need be and stays behind.

    The operating system frees the lock when its process ends, however that ends. A forked child
    does not inherit it. A file system without such locks is an error: the library's fallback, a
    file that marks the lock as held, would outlive a killed process.

    Example:
        ``with file_lock(path).acquire(timeout=0): …`` raises `filelock.Timeout` if the lock is
        held, by another process, another thread, or another lock object of this thread.
    """
    return FileLock(path, poll_interval=0.005, fallback_to_soft=False, preserve_lock_file=True)
