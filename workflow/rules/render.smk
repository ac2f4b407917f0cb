# One rule a kind of artifact, because each kind writes its own files.
SUFFIXES = {
    artifact.kind: artifact.suffixes for study in PLAN.studies.values() for artifact in study.artifacts.values()
}
SIDECARS = [f"{study.folder}/{name}.json" for study in PLAN.studies.values() for name in study.artifacts]

for kind, suffixes in SUFFIXES.items():
    artifacts = {name for study in PLAN.studies.values() for name, a in study.artifacts.items() if a.kind == kind}

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
            artifact="|".join(sorted(artifacts)),
        conda:
            ENVIRONMENT
        resources:
            mem_mb=2000,
        params:
            spec=lambda wildcards: as_json(render_spec(PLAN, wildcards.study, wildcards.artifact)),
            stem=lambda wildcards, output: output[0].removesuffix(".json"),
        shell:
            "python -m reprior render {params.spec:q} --reported {input.reported:q} --out {params.stem:q}"
            " > {log:q} 2>&1"


rule report:
    input:
        SIDECARS,
    output:
        report(REPORT, category="Report"),
    log:
        f"{RESULTS}/logs/report.log",
    conda:
        ENVIRONMENT
    params:
        command=f"snakemake --cores all --config scale={PLAN.config.scale}{' whole=true' if PLAN.config.whole else ''}",
    shell:
        "python -m reprior report {input:q} --out {output:q} --command {params.command:q} > {log:q} 2>&1"
