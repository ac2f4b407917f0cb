# Keep functions and fields few: each costs Snakemake 0.1 ms per job.
rule reconstruct:
    input:
        unpack(reconstruct_inputs),
    output:
        images=f"{RESULTS}/{{study}}/{{case}}/{{method}}/{{batch}}.safetensors",
        job=f"{RESULTS}/{{study}}/{{case}}/{{method}}/{{batch}}.json",
    log:
        f"{RESULTS}/logs/reconstruct/{{study}}/{{case}}/{{method}}/{{batch}}.log",
    wildcard_constraints:
        study=cells_where(lambda cell: cell.takes_long),
    priority: lambda wildcards: cell_of(wildcards).spec.get("steps", 0)
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=gpu_memory,
        gpu=1 if PLAN.on_gpu else 0,
        how=HOW,
    params:
        options=reconstruct_options,
        code=reconstruct_code,
    shell:
        "python -m reprior reconstruct {input.observation:q} --label {wildcards.method:q} {params.options:q}"
        " --code {params.code} {resources.how} --out {output.images:q} > {log:q} 2>&1"


# Other methods take seconds, so they need no GPU.
use rule reconstruct as reconstruct_direct with:
    wildcard_constraints:
        study=cells_where(lambda cell: not cell.takes_long),
    resources:
        mem_mb=memory,
        gpu=0,
        how="--device cpu",
