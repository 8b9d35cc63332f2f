"""The training graph: from recordings to a registered, explained, gated and checked model."""

from kfp import dsl

from components.automl.component import automl
from components.decide.component import decide
from components.decline.component import decline
from components.deploy.component import deploy
from components.evaluate.component import evaluate
from components.explain.component import explain
from components.features.component import features
from components.finish.component import finish
from components.guard.component import guard
from components.ingest.component import ingest
from components.promote.component import promote
from components.register.component import register
from components.report.component import report
from components.serve_check.component import serve_check
from components.split.component import split
from components.train.component import train
from components.validate.component import validate
from pipelines.settings import apply, described
from pipelines.weight import lighten
from toolwear.run.config import RunParameters

_DEFAULT = RunParameters()


@dsl.pipeline(
    name="toolwear-training",
    description="Trains and judges a model that tells whether a machine's tool is worn.",
)
@described
def training(
    data: str = _DEFAULT.data,
    data_digest: str = "",
    dataset: str = _DEFAULT.dataset,
    allow_simulator: bool = _DEFAULT.allow_simulator,
    seed: int = _DEFAULT.seed,
    restore_order: bool = _DEFAULT.restore_order,
    window: int = _DEFAULT.window,
    stride: int = _DEFAULT.stride,
    permutations: int = _DEFAULT.permutations,
    search_seconds: int = _DEFAULT.search_seconds,
    search_evaluations: int = _DEFAULT.search_evaluations,
    search_memory_mb: int = _DEFAULT.search_memory_mb,
    search_cores: int = _DEFAULT.search_cores,
    search_dask: str = _DEFAULT.search_dask,
    outer_folds: int = _DEFAULT.outer_folds,
    outer_seconds: int = _DEFAULT.outer_seconds,
    explain_rows: int = _DEFAULT.explain_rows,
    rollout: str = _DEFAULT.rollout,
    approval: bool = _DEFAULT.approval,
    accept_runs: str = _DEFAULT.accept_runs,
    deploy_model: bool = _DEFAULT.deploy_model,
    deploy_weights: str = _DEFAULT.deploy_weights,
    model_name: str = _DEFAULT.model_name,
    cause: str = _DEFAULT.cause,
    commit: str = "unknown",
    graph_digest: str = "unknown",
    person: str = "",
) -> None:
    """Wire the steps; the parameters are described where they are configured."""
    run = dsl.PIPELINE_JOB_ID_PLACEHOLDER
    finished = apply(
        finish(cause=cause, model_name=model_name, data_digest=data_digest, run=run), "finish"
    )
    with dsl.ExitHandler(finished, name="training"):
        read = apply(
            ingest(
                data=data,
                data_digest=data_digest,
                dataset=dataset,
                allow_simulator=allow_simulator,
                run=run,
                person=person,
                cause=cause,
                commit=commit,
                graph_digest=graph_digest,
                model_name=model_name,
                seed=seed,
                window=window,
                stride=stride,
                search_seconds=search_seconds,
                search_evaluations=search_evaluations,
                outer_folds=outer_folds,
                outer_seconds=outer_seconds,
            ),
            "ingest",
        )
        telemetry = read.outputs["telemetry"]
        validated = apply(validate(telemetry=telemetry), "validate")
        computed = apply(
            features(
                telemetry=telemetry, restore_order=restore_order, window=window, stride=stride
            ),
            "features",
        ).after(validated)
        table = computed.outputs["features"]
        guarded = apply(
            guard(
                telemetry=telemetry,
                features=table,
                data_digest=read.outputs["digest"],
                seed=seed,
                cause=cause,
                accept_runs=accept_runs,
                model_name=model_name,
            ),
            "guard",
        )
        divided = apply(
            split(telemetry=telemetry, features=table, seed=seed).after(guarded), "split"
        )
        folds = divided.outputs["split"]
        baselines = apply(
            train(features=table, split=folds, seed=seed, permutations=permutations), "train"
        )
        searched = apply(
            automl(
                features=table,
                split=folds,
                seed=seed,
                seconds=search_seconds,
                evaluations=search_evaluations,
                memory_mb=search_memory_mb,
                cores=search_cores,
                dask=search_dask,
                outer_folds=outer_folds,
                outer_seconds=outer_seconds,
            ),
            "automl",
        )
        challenger = searched.outputs["automl"]
        measured = apply(
            evaluate(
                features=table,
                split=folds,
                models=baselines.outputs["models"],
                automl=challenger,
                data_digest=read.outputs["digest"],
                seed=seed,
            ),
            "evaluate",
        )
        explained = apply(
            explain(features=table, split=folds, automl=challenger, seed=seed, rows=explain_rows),
            "explain",
        )
        figures, reasons = measured.outputs["evaluation"], explained.outputs["explanation"]
        checks = validated.outputs["validation"]
        decided = apply(
            decide(
                evaluation=figures,
                explanation=reasons,
                split=folds,
                validation=checks,
                features=table,
                automl=challenger,
                data_digest=read.outputs["digest"],
                seed=seed,
                cause=cause,
                model_name=model_name,
            ),
            "decide",
        )
        decision = decided.outputs["decision"]
        registered = apply(
            register(
                evaluation=figures,
                explanation=reasons,
                split=folds,
                features=table,
                automl=challenger,
                decision=decision,
                data_digest=read.outputs["digest"],
                commit=commit,
                graph_digest=graph_digest,
                seed=seed,
                cause=cause,
                model_name=model_name,
                run=run,
            ),
            "register",
        )
        registration = registered.outputs["registration"]
        checked = apply(
            serve_check(
                package=registered.outputs["package"],
                digest=registered.outputs["digest"],
                model_name=model_name,
            ),
            "serve_check",
        )
        answers = checked.outputs["check"]
        ending = {
            "decision": decision,
            "registration": registration,
            "check": answers,
            "cause": cause,
        }
        with dsl.If(checked.outputs["passed"] == False, name="served wrong answers"):  # noqa: E712
            failed = apply(decline(**ending), "decline")
        with dsl.Elif(decided.outputs["promotes"] == False, name="champion stays"):  # noqa: E712
            lost = apply(decline(**ending), "decline")
        with dsl.Elif(approval == True, name="a person is asked"):  # noqa: E712
            held = apply(
                promote(
                    **ending,
                    telemetry=telemetry,
                    rollout=rollout,
                    approval=True,
                    weights=deploy_weights,
                ),
                "promote",
            )
        with dsl.Elif(deploy_model == True, name="challenger wins on a cluster"):  # noqa: E712
            # What does not serve there cannot become champion: this task then ends the run.
            deployed = apply(
                deploy(
                    package=registered.outputs["package"],
                    telemetry=telemetry,
                    digest=registered.outputs["digest"],
                    version=registered.outputs["version"],
                    cause=cause,
                    weights=deploy_weights,
                    model_name=model_name,
                ),
                "deploy",
            )
            served = apply(promote(**ending).after(deployed), "promote")
        with dsl.Else(name="challenger wins"):
            won = apply(promote(**ending, rollout=rollout), "promote")
        apply(
            report(
                telemetry=telemetry,
                validation=checks,
                split=folds,
                automl=challenger,
                evaluation=figures,
                explanation=reasons,
                decision=decision,
                registration=registration,
                check=answers,
                outcome=dsl.OneOf(
                    failed.outputs["outcome"],
                    lost.outputs["outcome"],
                    held.outputs["outcome"],
                    served.outputs["outcome"],
                    won.outputs["outcome"],
                ),
                commit=commit,
                graph_digest=graph_digest,
                seed=seed,
                run=run,
            ),
            "report",
        )


lighten(training.pipeline_spec)
