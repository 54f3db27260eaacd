"""The encoders to choose from, as configuration.

A config of an encoder has a ``kind`` and two methods: ``check_size(view)`` refuses views that the
encoder cannot take, and ``build(channels, embedding, width, periodic)`` returns a module from views
(B, C, I, J) to embeddings (B, D).
"""

from sparta_ray.models.resnet import ResNet18Config

EncoderConfig = ResNet18Config
"""Further kinds are joined to it: ``Annotated[A | B, Discriminator("kind")]``."""
