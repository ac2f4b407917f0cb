import json

import reprior

# The recipe that made the bundled generator of the demo scale is written beside its weights.
DEMO_GENERATOR = "began-faces-drawn"
DEMO_RECIPE = json.loads((Path(reprior.__file__).parent / f"generators/weights/{DEMO_GENERATOR}.json").read_text())


rule train_demo_generator:
    output:
        weights=f"{DATA}/weights/{DEMO_GENERATOR}.safetensors",
        account=f"{DATA}/weights/{DEMO_GENERATOR}.json",
    log:
        f"{RESULTS}/logs/train/{DEMO_GENERATOR}.log",
    conda:
        ENVIRONMENT
    threads: 2
    resources:
        mem_mb=6000,
        gpu=1 if PLAN.on_gpu else 0,
    params:
        generator=as_json(DEMO_RECIPE["generator"]),
        dataset=as_json(DEMO_RECIPE["dataset"]),
        recipe=as_json(DEMO_RECIPE["recipe"]),
    shell:
        "python -m reprior train {output.weights:q} --generator {params.generator:q} --dataset {params.dataset:q}"
        " --recipe {params.recipe:q} 2>&1 | tee {log:q}"
