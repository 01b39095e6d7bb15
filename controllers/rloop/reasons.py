"""Why a campaign waits, and who ends the wait: one member for each reason.

Read by `rloop.decide.campaign.conditions` and `display`, which derive Ready, Degraded and Stalled from it. `make
generate` writes the table in docs/troubleshooting.md from it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, Self


class Reason(StrEnum):
    """A reason of a condition, with its meaning and its remedy as Markdown."""

    meaning: str
    remedy: str
    ended_by: Literal["Person", "Time"]
    """Who ends the wait: a person who changes something, or the passing of time."""

    def __new__(cls, word: str, meaning: str, remedy: str, ended_by: Literal["Person", "Time"] = "Person") -> Self:
        """The reason `word`."""
        made = str.__new__(cls, word)
        made._value_, made.meaning, made.remedy, made.ended_by = word, meaning, remedy, ended_by
        return made

    # Accept
    INVALID_SPEC = (
        "InvalidSpec",
        "the spec requests what a cluster cannot do, or a ConfigMap or key is missing",
        "the message names the field: apply what is missing, or edit the loop (`rloop pack` packs folders)",
    )
    RESTORED_WITHOUT_STATUS = (
        "RestoredWithoutStatus",
        "objects of a backup were created again without their statuses, which store the campaign's state",
        "restore the statuses: [backup](cluster.md#backup-and-restore)",
    )
    RECONCILE_FAILED = (
        "ReconcileFailed",
        "reconciles of this loop fail; the operator retries by itself, after a pause that grows to 30 s",
        "do what the message says; an `unexpected …` is a bug: please report it with the operator's log",
    )
    # Objects that cannot be created
    NAME_TAKEN = (
        "NameTaken",
        "an object that does not belong to the campaign has the name of one of its objects",
        "delete it, or rename one of the two",
    )
    BEING_DELETED = (
        "BeingDeleted",
        "an object of an earlier campaign of this name, or the deleted workspace claim, is still being deleted",
        "nothing: the campaign continues when the object is gone",
        "Time",
    )
    QUOTA_EXCEEDED = (
        "QuotaExceeded",
        "the quota of the namespace rejects a pod or an object",
        "raise the quota, or free some of it",
    )
    NAMESPACE_TERMINATING = (
        "NamespaceTerminating",
        "the namespace is being deleted",
        "apply the loop in another one",
    )
    POD_NOT_ADMITTED = (
        "PodNotAdmitted",
        "Pod Security or an admission webhook rejects a pod",
        "our pods pass *restricted*: check the webhook that the message names",
    )
    SERVICE_ACCOUNT_MISSING = (
        "ServiceAccountMissing",
        "the chart does not create its ServiceAccounts in this namespace",
        "add it to `watchNamespaces` of the chart, or run `helm upgrade` again",
    )
    FORBIDDEN = (
        "Forbidden",
        "the chart does not grant the operator its rights in this namespace",
        "add it to `watchNamespaces` of the chart, or run `helm upgrade` again",
    )
    NOT_ADMITTED = (
        "NotAdmitted",
        "the API server rejects an object for a reason that is not listed here",
        "the message has the reason",
    )
    TRAINING_OPERATOR_MISSING = (
        "TrainingOperatorMissing",
        "the cluster does not know the kind PyTorchJob",
        "install the Kubeflow training operator",
    )
    # Pods that do not start
    IMAGE_PULL_FAILED = (
        "ImagePullFailed",
        "the image cannot be pulled",
        "make it available under this name, or add `imagePullSecrets`; the image itself is frozen",
    )
    CONTAINER_NOT_STARTED = (
        "ContainerNotStarted",
        "the container runtime rejects the container",
        "the message has the reason",
    )
    INPUTS_MISSING = (
        "InputsMissing",
        "a Secret, ConfigMap or claim that a pod mounts is missing",
        "create it",
    )
    STORAGE_CLASS_MISSING = (
        "StorageClassMissing",
        "the StorageClass does not exist",
        "create it; or edit `spec.workspace` and delete the claim `NAME-workspace`, which is still empty",
    )
    VOLUME_NOT_BOUND = (
        "VolumeNotBound",
        "no volume fits the claim",
        "provide a volume; or edit `spec.workspace` and delete the claim `NAME-workspace`, which is still empty",
    )
    VOLUME_LOST = (
        "VolumeLost",
        "the volume of the workspace claim is gone",
        "restore it; or [start with a new one](cluster.md#the-workspace-is-lost)",
    )
    UNSCHEDULABLE = (
        "Unschedulable",
        "no node matches `nodeSelector`, `tolerations` or the node of the volume",
        "correct the spec, or the nodes",
    )
    TRAINING_OPERATOR_SILENT = (
        "TrainingOperatorSilent",
        "the kind PyTorchJob is installed, but no operator handles the job",
        "start the training operator",
    )
    WAITING_FOR_CAPACITY = (
        "WaitingForCapacity",
        "the nodes are full: the pod waits, which is normal",
        "nothing; or add nodes",
        "Time",
    )
    # No deadline counts for it, because a recreated workload starts at the end of the queue.
    QUEUED = (
        "Queued",
        "a queue (Kueue) does not admit the run's job yet",
        "nothing; or check the queue. If the job is in no queue, somebody suspended it",
        "Time",
    )
    # Sealed files, and the verifier's inputs
    SEALED_FILES_LOST = (
        "SealedFilesLost",
        "a ConfigMap with sealed files was replaced, or deleted when its source had changed",
        "delete a replaced one; restore the source as it was when the campaign was accepted",
    )
    EVALUATOR_CHANGED = (
        "EvaluatorChanged",
        "the verifier found that its code has changed",
        "restore the code",
    )
    INPUTS_UNAVAILABLE = (
        "InputsUnavailable",
        "the verifier could not read its inputs",
        "restore the inputs",
    )
    # Sessions and their provider
    AGENT_FAILING = (
        "AgentFailing",
        "the agent's program itself fails: no restart is left, or a restart would fail in the same way",
        "correct the agent: `rloop logs SESSION`; a new session opens after pauses that grow to 5 minutes",
    )
    NOTHING_DONE = (
        "NothingDone",
        "the process of a session ended with exit code 0, without a proposal or a call of `finish` (`Void`)",
        "let the agent propose something or call `finish` ([MCP clients](bring-your-own-agent.md))",
    )
    ALLOWANCE_SPENT = (
        "AllowanceSpent",
        "a session used up its tokens before it proposed anything",
        "raise `spec.agent.llm.maxTokensPerSession`",
    )
    BUDGET_SPENT = (
        "BudgetSpent",
        "the tokens or cost of the campaign were used up before a session proposed anything",
        "nothing: the campaign ends as `BudgetExhausted`; with a larger budget it continues",
        "Time",
    )
    CONTEXT_TOO_LONG = (
        "ContextTooLong",
        "the provider rejected the model calls of a session as too long; the message quotes it (`Void`)",
        "use a model with a larger context",
    )
    REQUEST_REFUSED = (
        "RequestRefused",
        "the model calls of a session were rejected; the message quotes the provider (`Void`)",
        "correct the request of the agent",
    )
    STREAM_BROKEN = (
        "StreamBroken",
        "the model calls of a session ended with an error in the stream; the message quotes it (`Void`)",
        "check the provider",
    )
    ANSWER_EMPTY = (
        "AnswerEmpty",
        "the model calls of a session had empty answers (`Void`)",
        "check the provider",
    )
    DEADLINE_EXCEEDED = (
        "DeadlineExceeded",
        "a session was ended at its deadline, and it had proposed nothing",
        "raise `agent.sessionSeconds`, or check what the agent waits for: `rloop logs SESSION`",
    )
    NO_PROGRESS = (
        "NoProgress",
        "a session was ended because it made no progress, and it had proposed nothing",
        "check what the agent waits for: `rloop logs SESSION`",
    )
    INFRASTRUCTURE_FAILING = (
        "InfrastructureFailing",
        "three iterations in a row were lost to failures of the infrastructure or of the agent's program",
        "check the logs: `rloop logs`",
    )
    PLATEAU = (
        "Plateau",
        "`stall.attentionAfter` iterations without a gain (condition `NeedsAttention`); the campaign continues",
        "review the direction or the boundaries",
        "Time",
    )
    PROVIDER_DOWN = (
        "ProviderDown",
        "the provider of the language model does not respond (shown as `WaitingForLLM`)",
        "nothing, or check the provider: a new session opens after pauses that grow to 5 minutes",
        "Time",
    )
    HOUR_CAP = (
        "HourCap",
        "the limit of this hour for calls of the language model is reached (shown as `WaitingForLLM`)",
        "nothing",
        "Time",
    )
    PROVIDER_REFUSED = (
        "ProviderRefused",
        "the provider rejects the calls, for example because of a wrong key",
        "correct the administrator's configuration of providers",
    )
    PROVIDER_UNKNOWN = (
        "ProviderUnknown",
        "no provider of this name is configured, or none at all (`llm.providers` of the chart)",
        "correct `spec.agent.llm`, or [configure the provider](llm-providers.md#in-a-cluster)",
    )
    MODEL_UNKNOWN = (
        "ModelUnknown",
        "the provider has no model of this name",
        "correct `spec.agent.llm`, or the administrator's configuration of providers",
    )
    PRICE_UNKNOWN = (
        "PriceUnknown",
        "a cost is limited, for example by `budget.cost`, and the model has no price",
        "let the administrator configure `prices` of the model",
    )
    CAP_TOO_SMALL = (
        "CapTooSmall",
        "a limit is too small even for a first call",
        "raise the limit that the message names",
    )


_PASSING = frozenset(one for one in Reason if one.ended_by == "Time")


def needs_person(reason: str) -> bool:
    """Whether the campaign waits for a person. True for an unknown reason, so that no wait goes unnoticed."""
    return reason not in _PASSING
