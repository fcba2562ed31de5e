process ESMKIT_EMBED {
    tag "${meta.shard ?: meta.id}"
    label 'process_medium'
    conda "${moduleDir}/../environment.yml"

    input:
    tuple val(meta), path(proteins)
    val model

    output:
    tuple val(meta), path("*.parquet")               , emit: table
    tuple val(meta), path("*.parquet.manifest.json") , emit: manifest
    tuple val(meta), path("*.parquet.failures.jsonl"), emit: failures, optional: true
    path "versions.yml"                              , emit: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    def prefix = task.ext.prefix ?: "${meta.shard ?: meta.id}"
    // 1 says that records were left out and noted, which only --on-error skip allows.
    """
    esmkit embed ${proteins} --out ${prefix}.parquet --model ${model} --threads ${task.cpus} --quiet ${args} || [ \$? -eq 1 ]

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        esmkit: \$(python -c 'import esmkit; print(esmkit.__version__)')
    END_VERSIONS
    """

    stub:
    def prefix = task.ext.prefix ?: "${meta.shard ?: meta.id}"
    """
    touch ${prefix}.parquet ${prefix}.parquet.manifest.json

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        esmkit: \$(python -c 'import esmkit; print(esmkit.__version__)')
    END_VERSIONS
    """
}
