"""The processes that came of one, to be killed or stopped in tests."""

from pathlib import Path


def descendants(process: int, named: str = "") -> list[int]:
    """Return the processes that came of one and bear a name, parents before children."""
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                status = (folder / "stat").read_text()
            except OSError:  # it has ended meanwhile
                continue
            parents[int(folder.name)] = int(status.rpartition(")")[2].split()[1])
    found = [process]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return [one for one in found[1:] if named in _command(one)]


def _command(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().decode(errors="replace")
    except OSError:  # it has ended meanwhile
        return ""
