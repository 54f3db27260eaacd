"""The diffusion's noise schedule: how much noise each step adds, and one step back.

Shape legend: B batch row, D embedding, N diffusion step.
"""

import torch
from torch import Tensor, nn


class NoiseSchedule(nn.Module):
    """The forward process' variances: β linear over steps, α = 1 - β, ᾱ their running product.

    Steps are counted from 0: step 0 adds β₀ to the clean embedding.

    Args:
        steps: How many.
        beta: First and last β.
        last_sampled: The step after which sampling ends. 0 goes back through every step. The
            published runs count one step more and end at step 1, so the noise of step 0 stays in.
    """

    beta: Tensor
    alpha: Tensor
    alpha_product: Tensor
    noise_variance: Tensor

    def __init__(self, steps: int, beta: tuple[float, float], last_sampled: int = 0) -> None:
        super().__init__()
        self.last_sampled = last_sampled
        beta_N = torch.linspace(*beta, steps, dtype=torch.float64)
        product_N = (1 - beta_N).cumprod(0)
        # 1 - ᾱ is stored too: taken from a float32 ᾱ near 1, it would lose most of its digits.
        self.register_buffer("beta", beta_N.float())
        self.register_buffer("alpha", (1 - beta_N).float())
        self.register_buffer("alpha_product", product_N.float())
        self.register_buffer("noise_variance", (1 - product_N).float())

    def __len__(self) -> int:
        return len(self.beta)

    def add_noise(self, h_BD: Tensor, step_B: Tensor, noise_BD: Tensor) -> Tensor:
        """Return √ᾱ h + √(1 - ᾱ) ε, the embedding after each row's step.

        Args:
            h_BD: Clean embeddings.
            step_B: Step of each row, counted from 0.
            noise_BD: ε, standard normal.
        """
        kept_B1, added_B1 = self.alpha_product[step_B, None], self.noise_variance[step_B, None]
        return kept_B1.sqrt() * h_BD + added_B1.sqrt() * noise_BD

    def step_back(self, h_BD: Tensor, step: int, predicted_BD: Tensor, noise_BD: Tensor) -> Tensor:
        """Return one ancestral step: (h - β ε̂ / √(1 - ᾱ)) / √α + √β z.

        The last sampled step adds no z.

        Args:
            h_BD: Embeddings after `step`.
            step: Counted from 0.
            predicted_BD: ε̂, the predicted noise.
            noise_BD: z, standard normal.
        """
        beta, alpha = self.beta[step], self.alpha[step]
        removed_BD = beta / self.noise_variance[step].sqrt() * predicted_BD
        mean_BD = (h_BD - removed_BD) / alpha.sqrt()
        return mean_BD + beta.sqrt() * noise_BD if step > self.last_sampled else mean_BD
