"""The evaluate stage: every candidate does every task; then comparison, gates, verdict and report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from kubetune_api.dataset import Columns
from kubetune_api.evalrun import Task
from kubetune_api.exits import REASONS, Exit
from kubetune_api.report import TERMINATION_LIMIT, FinalLine
from kubetune_api.run import EvaluationRun, RunFile, digest_of

from ..data.formats import Example
from ..engine import precision
from ..engine.lock import only_writer
from ..engine.stop import StopFlag, StopRequested, on_sigterm
from ..errors import BadSpec, Checkpointed
from ..evalreport.context import ReportContext
from ..evalreport.write import write_report
from ..evaluation.loading import Candidate, Loader, find_candidates, loading_order
from ..evaluation.outcome import Outcome, gate_challenger, judge
from ..evaluation.predict import Budget, Work, predict
from ..evaluation.progress import EvalProgress
from ..evaluation.prompts import Prompter
from ..evaluation.rows import solved_examples, task_rows
from ..evaluation.store import TaskResult, TaskStore
from ..evaluation.summary import summary_text
from ..paths import Workspace, make_folder
from ..reporting import Reporter
from ..scoring.gates import gate_problem
from ..scoring.task_metrics import metric_names, task_problem

Rows = Mapping[str, Sequence[Example]]
Results = dict[tuple[str, str], TaskResult]


def run(run_file: RunFile, workspace: Workspace, reporter: Reporter) -> FinalLine:
    """Evaluate, and return how it ended.

    Raises:
        BadSpec: a task, a metric or a gate that cannot be.
        BadDataset: rows that cannot be read or compared.
        ModelUnavailable: a candidate's model cannot be had.
        Checkpointed: asked to stop; finished rows are kept.
    """
    evaluation = checked(run_file)
    folder = workspace.reports / evaluation.report
    make_folder(folder)
    with on_sigterm() as stop, only_writer(folder, run_file, stop.request):
        return _evaluate(run_file, evaluation, workspace, folder, reporter, stop)


def _evaluate(
    run_file: RunFile, evaluation: EvaluationRun, workspace: Workspace, folder: Path, reporter: Reporter, stop: StopFlag
) -> FinalLine:
    try:
        seed = evaluation.comparison.seed
        rows = {task.name: task_rows(task, seed, workspace.downloads) for task in evaluation.tasks}
        stop.check()
        candidates = find_candidates(evaluation.candidates, workspace.models)
        session = Session(run_file, evaluation, workspace, folder, rows)
        results = session.predict_all(candidates, reporter, stop)
    except StopRequested as request:
        raise Checkpointed("stopped on request; every finished row is kept, start again to go on") from request
    outcome = judge(
        evaluation,
        rows,
        {key: result.predictions for key, result in results.items()},
        same_tokenizer=len({candidate.tokenizer_digest for candidate in candidates}) == 1,
    )
    dtype = str(session.dtype).removeprefix("torch.")
    context = ReportContext(run_file, candidates, results, session.prompts, dtype, session.device.type)
    page = write_report(folder, outcome, context)
    uri = workspace.uri_of(page)
    reporter.say(summary_text(outcome, [c.name for c in evaluation.candidates], uri))
    return final_line(outcome, uri)


def checked(run_file: RunFile) -> EvaluationRun:
    """Return the evaluation of a run file, before anything is loaded for it.

    Raises:
        BadSpec: it has none, or a task, metric or gate in it cannot be.
    """
    evaluation = run_file.evaluation
    if evaluation is None:
        raise BadSpec("the run file has stage evaluate but no evaluation")
    if not evaluation.candidates or not evaluation.tasks:
        raise BadSpec("an evaluation needs at least one candidate and one task")
    problems = [problem for task in evaluation.tasks if (problem := task_problem(task))]
    if problems:
        raise BadSpec("; ".join(problems), reason="NotSupportedYet" if "not supported yet" in problems[0] else None)
    names = [candidate.name for candidate in evaluation.candidates]
    baseline = next((c.name for c in evaluation.candidates if c.baseline), names[0])
    metrics = [f"{task.name}/{metric}" for task in evaluation.tasks for metric in metric_names(task)]
    challenger = gate_challenger(evaluation)
    found = [gate_problem(gate, metrics, names, challenger, baseline) for gate in evaluation.gates]
    if any(found):
        raise BadSpec("; ".join(problem for problem in found if problem))
    return evaluation


@dataclass
class Session:
    """One attempt at the predictions of a run."""

    run_file: RunFile
    evaluation: EvaluationRun
    workspace: Workspace
    folder: Path
    rows: Rows

    def __post_init__(self) -> None:
        self.prompts: dict[tuple[str, str], str] = {}
        """prompts: the first one of each (candidate, task), for people."""
        self.device = precision.device_of(self.run_file.compute.accelerators)
        self.dtype = precision.torch_dtype(precision.resolve(self.run_file.training.precision, self.device))

    def predict_all(self, candidates: Sequence[Candidate], reporter: Reporter, stop: StopFlag) -> Results:
        """Return the results of every (candidate, task); those already complete are read, not made again."""
        counts = [(task, len(self.rows[task.name])) for task in self.evaluation.tasks]
        progress = EvalProgress(reporter, counts, len(candidates))
        loader = Loader(self.dtype, self.device)
        results: Results = {}
        for candidate in loading_order(candidates):
            for task in self.evaluation.tasks:
                results[candidate.name, task.name] = self._predict(candidate, task, loader, progress, reporter, stop)
        loader.release()
        return results

    def _predict(
        self,
        candidate: Candidate,
        task: Task,
        loader: Loader,
        progress: EvalProgress,
        reporter: Reporter,
        stop: StopFlag,
    ) -> TaskResult:
        rows = self.rows[task.name]
        prompter = self._prompter(candidate, task)
        self.prompts[candidate.name, task.name] = candidate.tokenizer.decode(prompter.prompt(rows[0]))
        store = TaskStore(self.folder, task.name, candidate.name, self._fingerprint(candidate, task, prompter))
        kept = store.finished()
        if kept is not None:
            progress.skip(task, len(rows))
            reporter.say(f"{candidate.name} on {task.name}: complete from before, {len(rows)} rows")
            return kept
        progress.skip(task, len(store.partial()))
        progress.enter(candidate.name, task)
        work = Work(loader.load(candidate), prompter, task, rows, candidate.model.positions, self._budget())
        stop.check()
        result = predict(work, store, _advance(progress, task), stop.check)
        reporter.say(f"{candidate.name} on {task.name}: {len(rows)} rows in {result.seconds:.1f} s")
        return result

    def _prompter(self, candidate: Candidate, task: Task) -> Prompter:
        prompt = candidate.spec.prompt
        shots: Sequence[Example] = ()
        if prompt.examples is not None:
            held_out = [row for listed in self.rows.values() for row in listed]
            like = self.rows[task.name][0]
            columns = task.dataset.columns if task.dataset else Columns()
            seed = self.evaluation.comparison.seed
            shots = solved_examples(prompt.examples, held_out, like, columns, seed, self.workspace.downloads)
        return Prompter(candidate.tokenizer, candidate.model.uri, task, prompt.system, shots)

    def _fingerprint(self, candidate: Candidate, task: Task, prompter: Prompter) -> str:
        """Return a digest of all that decides the predictions: a result made with anything else is made again."""
        return digest_of(
            {
                "weights": candidate.identity,
                "tokenizer": candidate.tokenizer_digest,
                "system": prompter.system,
                "examples": [example.key() for example in prompter.examples],
                "type": task.type,
                "maxNewTokens": task.max_new_tokens,
                "rows": [[row.key(), row.label] for row in self.rows[task.name]],
                "dtype": str(self.dtype),
            }
        )

    def _budget(self) -> Budget:
        if self.device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(self.device)
            return Budget(batch_tokens=16_384, cache_bytes=free // 4)
        memory = self.run_file.compute.memory_bytes
        return Budget(cache_bytes=min(2**30, memory // 8) if memory else 2**30)


def _advance(progress: EvalProgress, task: Task) -> Callable[[], None]:
    return lambda: progress.advance(task)


def final_line(outcome: Outcome, report: str) -> FinalLine:
    """Return the Final line; minor results are left out so that it fits a termination message with the main ones."""
    results = list(outcome.results)
    while True:
        line = FinalLine(
            exit_code=Exit.DONE,
            reason=REASONS[Exit.DONE],
            message="evaluation finished",
            results=results,
            gates=outcome.gates,
            verdict=outcome.verdict[:2048],
            report=report,
        )
        if (
            len(results) <= 1
            or len(line.model_dump_json(by_alias=True, exclude_none=True).encode()) < TERMINATION_LIMIT - 64
        ):
            return line
        results.pop()
