rule observe:
    input:
        unpack(observe_inputs),
    output:
        f"{RESULTS}/{{study}}/{{case}}/{OBSERVATION}/{{batch}}.safetensors",
    log:
        f"{RESULTS}/logs/observe/{{study}}/{{case}}/{{batch}}.log",
    priority: FIRST
    conda:
        ENVIRONMENT
    resources:
        mem_mb=memory,
    params:
        case=lambda wildcards: as_json(observed_case(wildcards)),
        code=lambda wildcards: code("observe", operator=case_of(wildcards).operator),
    shell:
        "python -m reprior observe {input.images:q} --case {params.case:q} --code {params.code} --out {output:q}"
        " > {log:q} 2>&1"
