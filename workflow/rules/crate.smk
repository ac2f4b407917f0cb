from reprior.planning import plugin_folders
from reprior.provenance.crate import copies

ROOT = Path(workflow.basedir)
CRATE = f"{RESULTS}/ro-crate-metadata.json"
# The files that define the run. The crate has copies of them.
WHAT_WAS_RUN = [
    path
    for pattern in (
        "Snakefile",
        "workflow/rules/*.smk",
        "config.yaml",
        f"scales/{PLAN.config.scale}.yaml",
        *(f"studies/{study}/*" for study in PLAN.studies),
        "recipes/*.yaml",
        "envs/*.yaml",
        "envs/*.lock",
        "CITATION.cff",
        "LICENSE",
    )
    for path in sorted(ROOT.glob(pattern))
    if path.is_file()
] + [Path.cwd() / path for path in plugin_folders.modules()]


rule crate:
    input:
        results=[REPORT, METRICS],
        workflow=WHAT_WAS_RUN,
    output:
        metadata=CRATE,
        copies=list(map(str, copies(WHAT_WAS_RUN, ROOT, Path(CRATE)).values())),
    log:
        f"{RESULTS}/logs/crate.log",
    localrule: True
    conda:
        ENVIRONMENT
    params:
        root=ROOT,
        records=[RESULTS, DATA],
        raw=RAW,
        command=COMMAND,
        code=code("crate"),
    shell:
        "python -m reprior crate {input.results:q} --workflow {input.workflow:q} --root {params.root:q}"
        " --records {params.records:q} --raw {params.raw:q} --command {params.command:q} --code {params.code}"
        " --out {output.metadata:q} > {log:q} 2>&1"
