"""What the model says about one protein, or a few: mutations, masked residues, contacts, attention, embedding."""

from esmkit.web.page import Page

PAGE = Page(
    name="workbench",
    path="/",
    title="Workbench",
    description="Paste a protein and see what the model says about every residue.",
)
