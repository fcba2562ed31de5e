"""Files on Ray: the shards of a run computed by workers on many machines."""
