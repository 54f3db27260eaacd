"""What is learnt and measured on trained models: the downstream tasks, each one object."""
