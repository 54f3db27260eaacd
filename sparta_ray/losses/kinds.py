"""The contrastive losses to choose from, as configuration.

A config of a contrastive loss has a ``kind``, says by ``needs_labels`` whether it looks at the time
steps or seasons of the days, and is called with the `ProjectedRows` of the whole batch.

Equations 2.x are those of the authors' background report, in which they compared methods.
"""

from typing import Annotated

from pydantic import Discriminator

from sparta_ray.losses.adjacent_positives import AdjacentPositives
from sparta_ray.losses.barlow_twins import BarlowTwins
from sparta_ray.losses.nt_xent import NtXent
from sparta_ray.losses.soft_contrastive import SoftContrastive
from sparta_ray.losses.supervised_contrastive import SupervisedContrastive

ContrastiveLoss = Annotated[
    NtXent | SupervisedContrastive | BarlowTwins | SoftContrastive | AdjacentPositives,
    Discriminator("kind"),
]
