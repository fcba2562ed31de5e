process ESMKIT_SPLIT {
    tag "${meta.id}"
    label 'process_single'
    conda "${moduleDir}/../environment.yml"

    input:
    tuple val(meta), path(proteins)
    path shards_py
    val residues

    output:
    tuple val(meta), path("shards/*.fasta"), emit: shards
    path "versions.yml"                    , emit: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    """
    python ${shards_py} split ${proteins} --out shards --residues ${residues}

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        esmkit: \$(python -c 'import esmkit; print(esmkit.__version__)')
    END_VERSIONS
    """
}
