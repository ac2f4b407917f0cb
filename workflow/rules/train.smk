# Any file recipes/<name>.yaml makes data/weights/<name>.safetensors.
rule train:
    input:
        lambda wildcards: raw_files(PLAN.weights[wildcards.name].downloads),
        against=lambda wildcards: list(map(PLAN.weights_file, PLAN.weights[wildcards.name].against.values())),
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
        network=lambda wildcards: as_json(PLAN.weights[wildcards.name].generator),
        against=lambda wildcards: as_json(PLAN.trained_against(wildcards.name)),
        dataset=lambda wildcards: as_json(PLAN.weights[wildcards.name].training.dataset),
        recipe=lambda wildcards: as_json(PLAN.weights[wildcards.name].training.recipe),
        raw=RAW,
        code=training_code,
    shell:
        "python -m reprior train {output.weights:q} --network {params.network:q} --dataset {params.dataset:q}"
        " --against {params.against:q} --recipe {params.recipe:q} --raw {params.raw:q} --code {params.code} {resources.how}"
        " 2>&1 | tee {log:q}"
