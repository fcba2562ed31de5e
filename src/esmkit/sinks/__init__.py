"""Results to files: `open_target` gives a directory of shards or one file, atomic and resumable."""

from esmkit.sinks.format import Format, Layout, Writer, formats, record_key
from esmkit.sinks.shard import Shard
from esmkit.sinks.target import Summary, Target, open_target

__all__ = ["Format", "Layout", "Shard", "Summary", "Target", "Writer", "formats", "open_target", "record_key"]
