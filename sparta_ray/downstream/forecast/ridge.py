"""Ridge regression whose penalty is chosen by leaving out blocks of rows, from moments alone.

Legend: R row, P predictor, K target, S block, Q penalty.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


class BlockedRidge:
    """Regressions of any targets on the same predictors: W = (XᵀX + λ I)⁻¹ Xᵀ Y.

    Days near each other are alike, so rows are left out in blocks of neighbours. Each Gram matrix
    is decomposed once; the error of every penalty on every block then follows from products of the
    moments, without a forecast being made.

    Args:
        x_RP: Predictors.
        block_R: Which block each row belongs to, from 0 on; each has some.
        penalties: To choose from, in units of the mean eigenvalue of XᵀX.
    """

    def __init__(self, x_RP: Tensor, block_R: Tensor, penalties: Sequence[float]) -> None:
        self._penalties = torch.tensor(penalties, dtype=x_RP.dtype, device=x_RP.device)
        self._rows = [block_R == block for block in range(int(block_R.max()) + 1)]
        self._x = [x_RP[rows] for rows in self._rows]
        self._grams = [x_bP.T @ x_bP for x_bP in self._x]
        total_PP = torch.stack(self._grams).sum(0)
        self._whole = torch.linalg.eigh(total_PP)
        self._without = [torch.linalg.eigh(total_PP - gram_PP) for gram_PP in self._grams]

    def solve(self, y_RK: Tensor) -> tuple[Tensor, float]:
        """Return weights (P, K), and the mean squared error of their penalty on left-out blocks."""
        xy_SPK = torch.stack([x.T @ y_RK[r] for x, r in zip(self._x, self._rows, strict=True)])
        total_PK = xy_SPK.sum(0)
        errors_Q = y_RK.square().sum() + sum(
            self._errors_less_truth(block, total_PK - xy_PK, xy_PK)
            for block, xy_PK in enumerate(xy_SPK)
        )
        best = int(errors_Q.argmin())
        values_P, vectors_PP = self._whole
        shrunk_P = self._shrinkage(values_P)[best]
        weights_PK = vectors_PP @ (shrunk_P[:, None] * (vectors_PP.T @ total_PK))
        return weights_PK, float(errors_Q[best]) / y_RK.numel()

    def _errors_less_truth(self, block: int, fitted_PK: Tensor, xy_PK: Tensor) -> Tensor:
        """Return Σ (XW)² - 2 Σ Y·XW over a block, for weights from the others, for each penalty.

        With B = Vᵀ Xᵀ Y of the others and d = 1 / (eigenvalues + λ), W = V diag(d) B, and so
        Σ (XW)² = dᵀ (Vᵀ XᵀX V ∘ B Bᵀ) d and Σ Y·XW = d · Σ_K (B ∘ Vᵀ XᵀY).
        """
        values_P, vectors_PP = self._without[block]
        b_PK, here_PK = vectors_PP.T @ fitted_PK, vectors_PP.T @ xy_PK
        square_PP = (vectors_PP.T @ self._grams[block] @ vectors_PP) * (b_PK @ b_PK.T)
        d_QP = self._shrinkage(values_P)
        squares_Q: Tensor = ((d_QP @ square_PP) * d_QP).sum(1)
        products_Q: Tensor = d_QP @ (b_PK * here_PK).sum(1)
        return squares_Q - 2 * products_Q

    def _shrinkage(self, values_P: Tensor) -> Tensor:
        """Return 1 / (eigenvalue + λ) for each penalty, shape (Q, P)."""
        lambda_Q1 = self._penalties[:, None] * values_P.mean()
        return (values_P.clamp(min=0) + lambda_Q1).reciprocal()
