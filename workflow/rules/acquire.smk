rule acquire:
    output:
        f"{DATA}/raw/{{path}}",
    log:
        f"{RESULTS}/logs/acquire/{{path}}.log",
    conda:
        ENVIRONMENT
    shell:
        "python -m reprior acquire {output:q} 2>&1 | tee {log:q}"


use rule acquire as weights with:
    output:
        f"{DATA}/weights/{{name}}.safetensors",
    log:
        f"{RESULTS}/logs/acquire/{{name}}.log",
