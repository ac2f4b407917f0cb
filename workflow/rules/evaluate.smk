rule evaluate:
    input:
        unpack(evaluate_inputs),
    output:
        f"{RESULTS}/{{study}}/{{case}}/{{method}}/{{batch}}.csv",
    log:
        f"{RESULTS}/logs/evaluate/{{study}}/{{case}}/{{method}}/{{batch}}.log",
    # Run next to long jobs. If all ran at the end, starting them would take longer than running them.
    priority: FIRST
    localrule: True
    conda:
        ENVIRONMENT
    resources:
        mem_mb=2000,
    params:
        metrics=lambda wildcards: as_json(computed_metrics(wildcards)),
        raw=RAW,
        code=lambda wildcards: code("evaluate", metric=computed_metrics(wildcards)),
    shell:
        "python -m reprior evaluate {input.estimate:q} --images {input.images:q} --metrics {params.metrics:q}"
        " --raw {params.raw:q} --code {params.code} --out {output:q} > {log:q} 2>&1"


rule aggregate_study:
    input:
        study_numbers,
    output:
        f"{RESULTS}/{{study}}/metrics.csv",
    log:
        f"{RESULTS}/logs/aggregate/{{study}}.log",
    localrule: True
    conda:
        ENVIRONMENT
    params:
        code=code("aggregate"),
    shell:
        "python -m reprior aggregate {input:q} --code {params.code} --out {output:q} > {log:q} 2>&1"


rule aggregate:
    input:
        [f"{RESULTS}/{study}/metrics.csv" for study in PLAN.studies],
    output:
        METRICS,
    log:
        f"{RESULTS}/logs/aggregate.log",
    localrule: True
    conda:
        ENVIRONMENT
    params:
        code=code("aggregate"),
    shell:
        "python -m reprior aggregate {input:q} --code {params.code} --out {output:q} > {log:q} 2>&1"
