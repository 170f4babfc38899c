"""The loss steps, named by ``loss_step`` of a head; the contract is `rankdet.models.pools`."""
