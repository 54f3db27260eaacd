"""From a source to a store: regridded, checked, sharded, or streamed without one."""
