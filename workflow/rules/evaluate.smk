rule evaluate:
    input:
        estimate=f"{RESULTS}/{{study}}/{{case}}/{{method}}/{{batch}}.safetensors",
        job=f"{RESULTS}/{{study}}/{{case}}/{{method}}/{{batch}}.json",
        images=lambda wildcards: f"{case_of(wildcards).images.folder}/{wildcards.batch}.safetensors",
        downloads=metric_downloads,
    output:
        f"{RESULTS}/{{study}}/{{case}}/{{method}}/{{batch}}.csv",
    log:
        f"{RESULTS}/logs/evaluate/{{study}}/{{case}}/{{method}}/{{batch}}.log",
    conda:
        ENVIRONMENT
    resources:
        mem_mb=2000,
    params:
        metrics=lambda wildcards: as_json(computed_metrics(wildcards)),
        raw=RAW,
    shell:
        "python -m reprior evaluate {input.estimate:q} --images {input.images:q} --metrics {params.metrics:q}"
        " --raw {params.raw:q} --out {output:q} > {log:q} 2>&1"


rule aggregate_study:
    input:
        study_numbers,
    output:
        f"{RESULTS}/{{study}}/metrics.csv",
    log:
        f"{RESULTS}/logs/aggregate/{{study}}.log",
    conda:
        ENVIRONMENT
    shell:
        "python -m reprior aggregate {input:q} --out {output:q} > {log:q} 2>&1"


rule aggregate:
    input:
        [f"{RESULTS}/{study}/metrics.csv" for study in PLAN.studies],
    output:
        METRICS,
    log:
        f"{RESULTS}/logs/aggregate.log",
    conda:
        ENVIRONMENT
    shell:
        "python -m reprior aggregate {input:q} --out {output:q} > {log:q} 2>&1"
