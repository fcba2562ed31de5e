process ESMKIT_MERGE {
    tag "${meta.id}"
    label 'process_single'
    conda "${moduleDir}/../environment.yml"

    input:
    tuple val(meta), path(results)
    path shards_py

    output:
    tuple val(meta), path("${prefix}.parquet")               , emit: table
    tuple val(meta), path("${prefix}.parquet.manifest.json") , emit: manifest
    tuple val(meta), path("${prefix}.parquet.failures.jsonl"), emit: failures, optional: true
    path "versions.yml"                                      , emit: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    prefix = task.ext.prefix ?: "${meta.id}"
    // Names of shards are in input order; the shell sorts them.
    """
    python ${shards_py} merge shard-*.parquet --out ${prefix}.parquet

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        esmkit: \$(python -c 'import esmkit; print(esmkit.__version__)')
    END_VERSIONS
    """
}
