"""BioLM's wire format: one module per model family turns requests into calls of the queue, and results into answers."""
