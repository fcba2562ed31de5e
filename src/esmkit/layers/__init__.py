"""Building blocks of the models, on packed tokens; everything here is plain torch."""
