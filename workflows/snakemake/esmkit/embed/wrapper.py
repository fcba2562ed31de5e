"""Snakemake wrapper: one file of proteins through `esmkit embed`, or another command that computes."""

from snakemake.shell import shell

command = snakemake.params.get("command", "embed")  # noqa: F821
model = snakemake.params.get("model", "esm2-mini")  # noqa: F821
extra = snakemake.params.get("extra", "")  # noqa: F821
log = snakemake.log_fmt_shell(stdout=True, stderr=True)  # noqa: F821

# 1 says that records were left out and noted, which only --on-error skip allows.
shell(
    "esmkit {command} {snakemake.input.proteins:q} --out {snakemake.output.table:q} --model {model:q}"
    " --threads {snakemake.threads} --quiet {extra} {log} || [ $? -eq 1 ]"
)
