"""The HTTP API: BioLM's ESM-2 routes and esmkit's own, in front of a queue and a store."""
