"""How Alembic runs the files in `versions`: on the connection, and in the transaction, of `esmkit.store.schema`."""

from alembic import context

from esmkit.store.tables import Base

if not __name__.startswith("esmkit."):  # Alembic runs this file under a name of its own; an import does nothing
    context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
    context.run_migrations()
