rule observe:
    input:
        lambda wildcards: f"{case_of(wildcards).images.folder}/{wildcards.batch}.safetensors",
    output:
        f"{RESULTS}/{{study}}/{{case}}/{OBSERVATION}/{{batch}}.safetensors",
    log:
        f"{RESULTS}/logs/observe/{{study}}/{{case}}/{{batch}}.log",
    conda:
        ENVIRONMENT
    resources:
        mem_mb=4000,
    params:
        case=lambda wildcards: as_json(observed_case(wildcards)),
    shell:
        "python -m reprior observe {input:q} --case {params.case:q} --out {output:q} > {log:q} 2>&1"
