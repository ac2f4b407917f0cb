rule reconstruct:
    input:
        unpack(reconstruct_inputs),
    output:
        images=f"{RESULTS}/{{study}}/{{case}}/{{method}}/{{batch}}.safetensors",
        job=f"{RESULTS}/{{study}}/{{case}}/{{method}}/{{batch}}.json",
    log:
        f"{RESULTS}/logs/reconstruct/{{study}}/{{case}}/{{method}}/{{batch}}.log",
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=6000,
        gpu=1 if PLAN.on_gpu else 0,
        # How a job runs and not what it computes: as resources, so that a change reruns nothing.
        device=PLAN.config.device,
        checkpoint_seconds=PLAN.config.checkpoint_seconds,
    params:
        method=lambda wildcards: as_json(cell_of(wildcards).spec),
        start=start_option,
        generator=generator_option,
    shell:
        "python -m reprior reconstruct {input.observation:q} --label {wildcards.method:q} --method {params.method:q}"
        " {params.generator:q} {params.start:q} --device {resources.device} --out {output.images:q}"
        " --checkpoint-seconds {resources.checkpoint_seconds} > {log:q} 2>&1"
