"""Schema changes, in order; see `esmkit.store.schema`."""
