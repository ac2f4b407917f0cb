import gc
from pathlib import Path

from snakemake.exceptions import WorkflowError

from reprior.errors import UserError
from reprior.jobs import warm
from reprior.planning.resolve import make_plan
from reprior.jobs.workplace import Workplace

# A plan holds millions of objects that stay. Collecting garbage among them took a seventh of the planning time.
gc.set_threshold(100_000, 50, 100)


configfile: Path(workflow.basedir) / "config.yaml"


try:
    PLAN = make_plan(Path(workflow.basedir), config)
except UserError as error:
    raise WorkflowError(str(error)) from None

WORKPLACE = Workplace.of(PLAN, Path.cwd())


onstart:
    global occupied, warm_parent  # global, so that both last until this process ends
    try:
        occupied = WORKPLACE.occupied()
    except UserError as error:
        raise WorkflowError(str(error)) from None
    if workflow.local_exec:  # jobs of a cluster run on other machines
        warm_parent = warm.start()


include: "workflow/rules/common.smk"
include: "workflow/rules/acquire.smk"
include: "workflow/rules/prepare.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/design.smk"
include: "workflow/rules/observe.smk"
include: "workflow/rules/reconstruct.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/render.smk"
include: "workflow/rules/crate.smk"


if workflow.is_main_process:  # not in the process of a job
    WORKPLACE.mended([*planned_results(), *ARTIFACTS], only_tell=workflow.output_settings.dryrun)
    if advice := WORKPLACE.lock_advice():
        logger.warning(f"reprior: {advice}")


rule all:
    default_target: True
    input:
        METRICS,
        ARTIFACTS,
        REPORT,
        damaged_results,
    localrule: True
