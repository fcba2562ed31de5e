#!/usr/bin/env nextflow
// Proteins in shards, each embedded by a task of its own, then one table:
//
//   nextflow run workflows/nextflow --proteins proteins.fasta --outdir results -profile docker

include { ESMKIT_SPLIT } from './modules/esmkit/split/main'
include { ESMKIT_EMBED } from './modules/esmkit/embed/main'
include { ESMKIT_MERGE } from './modules/esmkit/merge/main'

workflow {
    if (!params.proteins) {
        error("name the proteins: --proteins proteins.fasta")
    }
    shards_py = file("${projectDir}/../shards.py", checkIfExists: true)
    proteins = Channel.fromPath(params.proteins, checkIfExists: true).map { path -> tuple([id: path.simpleName], path) }

    ESMKIT_SPLIT(proteins, shards_py, params.residues)
    shards = ESMKIT_SPLIT.out.shards.transpose().map { meta, shard -> tuple(meta + [shard: shard.baseName], shard) }

    ESMKIT_EMBED(shards, params.model)
    results = ESMKIT_EMBED.out.table
        .join(ESMKIT_EMBED.out.manifest)
        .join(ESMKIT_EMBED.out.failures, remainder: true)
        .map { meta, table, manifest, failures -> tuple(meta.subMap('id'), [table, manifest] + (failures ? [failures] : [])) }
        .groupTuple()
        .map { meta, files -> tuple(meta, files.flatten()) }

    ESMKIT_MERGE(results, shards_py)
}
