"""What every room stands on: configuration, errors, grids, variables, seeds, folders."""
