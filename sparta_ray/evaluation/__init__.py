"""What is measured of a finished run, and the results that it leaves in the run folder."""
