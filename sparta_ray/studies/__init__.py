"""Studies: variants x seeds of one run, or a sweep, trained, scored and compared."""
