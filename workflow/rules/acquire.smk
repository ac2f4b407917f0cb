rule acquire:
    input:
        [f"{RAW}/{source}" for source in PLAN.downloads],
    localrule: True


# The source of a file does not change its content. So mirrors and offline are resources: changing them reruns nothing.
# There is no param `code`, because files are checked by hash.
rule download:
    output:
        f"{RAW}/{{source}}",
    log:
        f"{RESULTS}/logs/download/{{source}}.log",
    localrule: True
    conda:
        ENVIRONMENT
    resources:
        mirrors=as_json(PLAN.config.mirrors),
        offline="--offline" if PLAN.config.offline else "",
    params:
        raw=lambda wildcards, output: output[0][: -len(wildcards.source) - 1],
    shell:
        "python -m reprior acquire {output:q} --raw {params.raw:q} --mirrors {resources.mirrors:q} {resources.offline}"
        " 2>&1 | tee {log:q}"


rule convert:
    input:
        lambda wildcards: f"{RAW}/{PLAN.weights[wildcards.name].source}",
    output:
        f"{DATA}/weights/{{name}}.safetensors",
    log:
        f"{RESULTS}/logs/convert/{{name}}.log",
    wildcard_constraints:
        name=one_of(name for name, weights in PLAN.weights.items() if weights.source),
    priority: FIRST
    localrule: True
    conda:
        ENVIRONMENT
    resources:
        mem_mb=growing(4000),
    params:
        generator=lambda wildcards: as_json(PLAN.weights[wildcards.name].generator),
        layout=lambda wildcards: PLAN.weights[wildcards.name].layout,
        code=lambda wildcards: code("convert", generator=PLAN.weights[wildcards.name].generator),
    shell:
        "python -m reprior convert {input:q} --generator {params.generator:q} --layout {params.layout:q}"
        " --code {params.code} --out {output:q} > {log:q} 2>&1"
