# One rule per kind of artifact, because each kind writes different files.
SUFFIXES = {
    artifact.kind: artifact.suffixes for study in PLAN.studies.values() for artifact in study.artifacts.values()
}
ARTIFACTS = [
    f"{study.folder}/{name}{suffix}"
    for study in PLAN.studies.values()
    for name, artifact in study.artifacts.items()
    for suffix in (".json", *artifact.suffixes)
]
SIDECARS = [f"{study.folder}/{name}.json" for study in PLAN.studies.values() for name in study.artifacts]

for kind, suffixes in SUFFIXES.items():

    rule:
        name:
            f"render_{kind.replace('-', '_')}"
        input:
            artifact_inputs,
            reported=lambda wildcards: study_of(wildcards).reported.as_posix(),
        output:
            [f"{RESULTS}/{{study}}/{{artifact}}{suffix}" for suffix in (".json", *suffixes)],
        log:
            f"{RESULTS}/logs/render/{{study}}/{{artifact}}.log",
        wildcard_constraints:
            study=artifacts_where(kind),
        priority: FIRST
        localrule: True
        conda:
            ENVIRONMENT
        resources:
            mem_mb=2000,
        params:
            spec=lambda wildcards: as_json(spec_of(wildcards)),
            code=lambda wildcards: stage_jobs.code_argument(stage_jobs.render_modules(spec_of(wildcards))),
            stem=lambda wildcards, output: output[0].removesuffix(".json"),
        shell:
            "python -m reprior render {params.spec:q} --reported {input.reported:q} --code {params.code}"
            " --out {params.stem:q} > {log:q} 2>&1"


rule report:
    input:
        SIDECARS,
    output:
        report(REPORT, category="Report"),
    log:
        f"{RESULTS}/logs/report.log",
    localrule: True
    conda:
        ENVIRONMENT
    params:
        command=COMMAND,
        code=code("report"),
    shell:
        "python -m reprior report {input:q} --out {output:q} --command {params.command:q} --code {params.code}"
        " > {log:q} 2>&1"
