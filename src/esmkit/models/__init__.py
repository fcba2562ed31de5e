"""Model families, and the way from a name to a filled module: registry, locate, hub, weights, save."""
