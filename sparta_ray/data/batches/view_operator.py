"""Views made on the training device, as two small matrix products.

Legend: B rows, V variables, X × Y the data's longitude × latitude (64 × 32), I × J a view's
(144 × 72).
"""

import torch
from torch import Tensor, nn

from sparta_ray.data.plan.views import (
    ViewConfig,
    bicubic_matrix,
    crop_operators,
    cropped_cells,
    nearest_cells,
    seamless_crop_operators,
)


class ViewOperator(nn.Module):
    """Expands fields into views: A_i x B_jᵀ for crop offsets (i, j).

    Attributes:
        mask_channels: Whether an encoder sees which values of a view are there.
    """

    crop_x: Tensor
    crop_y: Tensor
    resize_x: Tensor
    resize_y: Tensor
    crop_cells_x: Tensor
    crop_cells_y: Tensor
    resize_cells_x: Tensor
    resize_cells_y: Tensor

    def __init__(self, grid: tuple[int, int], config: ViewConfig, mask_channels: bool = False):
        super().__init__()
        self.mask_channels = mask_channels
        x, y = zip(grid, config.resize, config.crop, strict=True)
        if config.periodic:
            crop_x = seamless_crop_operators(*x, config.filter, periodic=True)
            crop_y = seamless_crop_operators(*y, config.filter, periodic=False)
        else:
            crop_x, crop_y = (crop_operators(*axis, config.filter) for axis in (x, y))
        operators = {
            "crop_x": crop_x,
            "crop_y": crop_y,
            "resize_x": bicubic_matrix(grid[0], config.crop[0], config.periodic),
            "resize_y": bicubic_matrix(grid[1], config.crop[1]),
        }
        for name, matrix in operators.items():
            self.register_buffer(name, torch.from_numpy(matrix).float(), persistent=False)
        cells = {
            "crop_cells_x": cropped_cells(grid[0], config.resize[0], config.crop[0]),
            "crop_cells_y": cropped_cells(grid[1], config.resize[1], config.crop[1]),
            "resize_cells_x": nearest_cells(grid[0], config.crop[0]),
            "resize_cells_y": nearest_cells(grid[1], config.crop[1]),
        }
        for name, index in cells.items():
            self.register_buffer(name, torch.from_numpy(index.copy()), persistent=False)

    @property
    def view_size(self) -> tuple[int, int]:
        """(I, J)."""
        return len(self.resize_x), len(self.resize_y)

    def cropped(self, x_BVXY: Tensor, offset_B2: Tensor) -> Tensor:
        """Resize, crop at each row's offset and smooth: a contrastive view before its mask.

        Args:
            x_BVXY: Standardised fields.
            offset_B2: Crop offsets along longitude and latitude, any integer type.

        Returns:
            Views, shape (B, V, I, J).
        """
        offset = offset_B2.long()
        left = self.crop_x[offset[:, 0]].unsqueeze(1)
        right = self.crop_y[offset[:, 1]].unsqueeze(1).transpose(-1, -2)
        return left @ x_BVXY @ right

    def resized(self, x_BVXY: Tensor) -> Tensor:
        """Resize without crop or filter: the input view before its mask, (B, V, I, J)."""
        return self.resize_x @ x_BVXY @ self.resize_y.T

    def encoder_input(self, view_BVIJ: Tensor, seen_BVIJ: Tensor | None) -> Tensor:
        """Return what an encoder sees of views.

        Args:
            view_BVIJ: Views, 0 where hidden or missing.
            seen_BVIJ: Which of their values are not; None for all.

        Returns:
            The views; with mask channels 2 V channels, 1 or 0 for seen or not behind the values.
        """
        if not self.mask_channels:
            return view_BVIJ
        seen = torch.ones_like(view_BVIJ) if seen_BVIJ is None else seen_BVIJ.to(view_BVIJ)
        return torch.cat([view_BVIJ, seen], dim=1)

    def nearest(self, flags_BVXY: Tensor, offset_B2: Tensor | None = None) -> Tensor:
        """Look up the flag of the cell that each point of a view lies in.

        Args:
            flags_BVXY: Anything about the grid's cells.
            offset_B2: Crop offsets of a contrastive view; None for the input view.

        Returns:
            Shape (B, V, I, J).
        """
        if offset_B2 is None:
            return flags_BVXY[:, :, self.resize_cells_x][..., self.resize_cells_y]
        offset = offset_B2.long()
        x_BI, y_BJ = self.crop_cells_x[offset[:, 0]], self.crop_cells_y[offset[:, 1]]
        row_B11 = torch.arange(len(offset), device=offset.device)[:, None, None]
        return flags_BVXY[row_B11, :, x_BI[:, :, None], y_BJ[:, None, :]].permute(0, 3, 1, 2)
