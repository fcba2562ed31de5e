"""Several machines: esmkit on Ray, for files and for the API. Nothing else in esmkit imports ray."""
