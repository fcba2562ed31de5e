"""How good a model is, beside what needs no model: one file per question, `page` makes the tables."""
