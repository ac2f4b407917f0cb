# The matrices of operators that are designed for a generator. All cases, studies and scales with its weights share one.
MATRICES = {matrix.name: matrix for matrix in PLAN.matrices.values()}


rule design:
    input:
        lambda wildcards: MATRICES[wildcards.matrix].generator["weights"],
    output:
        f"{DATA}/matrices/{{matrix}}.safetensors",
    log:
        f"{RESULTS}/logs/design/{{matrix}}.log",
    wildcard_constraints:
        matrix=one_of(MATRICES),
    priority: FIRST
    conda:
        ENVIRONMENT
    threads: 2
    resources:
        mem_mb=growing(12000),
        gpu=1 if PLAN.on_gpu else 0,
        how=WHERE,
    params:
        operator=lambda wildcards: as_json(MATRICES[wildcards.matrix].operator),
        generator=lambda wildcards: as_json(MATRICES[wildcards.matrix].generator),
        code=lambda wildcards: code(
            "design", operator=MATRICES[wildcards.matrix].operator, generator=MATRICES[wildcards.matrix].generator
        ),
    shell:
        "python -m reprior design --operator {params.operator:q} --generator {params.generator:q} --code {params.code}"
        " {resources.how} --out {output:q} > {log:q} 2>&1"
