rule prepare:
    input:
        lambda wildcards: raw_files(image_plan(wildcards).sources),
    output:
        f"{DATA}/images/{PLAN.config.scale}/{{study}}/{{images}}/{{batch}}.safetensors",
    log:
        f"{RESULTS}/logs/prepare/{{study}}/{{images}}/{{batch}}.log",
    priority: FIRST
    localrule: True
    conda:
        ENVIRONMENT
    resources:
        mem_mb=2000,
    params:
        selection=lambda wildcards: as_json(image_plan(wildcards).selection(wildcards.batch)),
        raw=RAW,
        code=lambda wildcards: code("prepare", dataset=image_plan(wildcards).spec.dataset),
    shell:
        "python -m reprior prepare {params.selection:q} --raw {params.raw:q} --code {params.code} --out {output:q}"
        " > {log:q} 2>&1"
