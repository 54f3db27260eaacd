"""Memory of a training process: what a step frees, the next one gets back without asking."""

KEEPS_MEMORY = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**34),
    "MALLOC_TOP_PAD_": str(2**26),
}
"""Environment in which the GNU C library keeps freed memory; other libraries do not look at it.

A step on a CPU makes and frees gigabytes of activations. By default their pages go back to the
system each time and come again one by one, filled with zeros: some 7 % of the step's time. The
process holds about what its largest step needs, as it would anyway at that moment.
"""
