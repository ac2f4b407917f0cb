# Any file recipes/<name>.yaml makes data/weights/<name>.safetensors.
rule train:
    input:
        lambda wildcards: raw_files(PLAN.weights[wildcards.name].downloads),
    output:
        weights=f"{DATA}/weights/{{name}}.safetensors",
        account=f"{DATA}/weights/{{name}}.json",
        samples=f"{DATA}/weights/{{name}}.png",
        losses=f"{DATA}/weights/{{name}}-losses.png",
        progress=f"{DATA}/weights/{{name}}-progress.png",
    log:
        f"{RESULTS}/logs/train/{{name}}.log",
    wildcard_constraints:
        name=one_of(name for name, weights in PLAN.weights.items() if weights.training),
    priority: FIRST
    conda:
        ENVIRONMENT
    threads: 2
    resources:
        mem_mb=growing(12000),
        gpu=1 if PLAN.on_gpu else 0,
        how=HOW,
    params:
        generator=lambda wildcards: as_json(PLAN.weights[wildcards.name].training.generator),
        dataset=lambda wildcards: as_json(PLAN.weights[wildcards.name].training.dataset),
        recipe=lambda wildcards: as_json(PLAN.weights[wildcards.name].training.recipe),
        raw=RAW,
        code=training_code,
    shell:
        "python -m reprior train {output.weights:q} --generator {params.generator:q} --dataset {params.dataset:q}"
        " --recipe {params.recipe:q} --raw {params.raw:q} --code {params.code} {resources.how}"
        " 2>&1 | tee {log:q}"
