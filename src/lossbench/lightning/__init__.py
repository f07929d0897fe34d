"""Training: the only place that imports pytorch_lightning and wandb."""
