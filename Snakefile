from pathlib import Path

from snakemake.exceptions import WorkflowError

from reprior.errors import UserError
from reprior.resolve import make_plan


configfile: Path(workflow.basedir) / "config.yaml"


try:
    PLAN = make_plan(Path(workflow.basedir), config)
except UserError as error:
    raise WorkflowError(str(error)) from None


include: "workflow/rules/common.smk"
include: "workflow/rules/acquire.smk"
include: "workflow/rules/prepare.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/observe.smk"
include: "workflow/rules/reconstruct.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/render.smk"


rule all:
    default_target: True
    input:
        METRICS,
        REPORT,
