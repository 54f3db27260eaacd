"""SPARTA weather embeddings on Ray: sparse fields in, smooth embeddings and forecasts out."""

import os

# gcsfs would ask another service about every bucket, which hangs for minutes where there is none.
# It looks at this when it is imported, so this comes first, in every process of ours.
os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")

__version__ = "0.1.0"
