"""What all our pods have in common: a restricted pod, a container, a mount, a token for the gateway.

Called by `pods`, which says what runs in them.
"""

from __future__ import annotations

from typing import Any

from rloop_operator.cluster.settings import Settings

Manifest = dict[str, Any]
AUDIENCE = "rloop-gateway"
TOKEN_SECONDS = 3600
SMALL = {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}}


def pod_spec(account: str, settings: Settings, containers: list[Manifest], volumes: list[Manifest]) -> Manifest:
    """A pod's spec that passes Pod Security restricted, runs once, and has no token of the API server."""
    return {
        "restartPolicy": "Never",
        "serviceAccountName": account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 10,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": settings.run_as_user,
            "runAsGroup": settings.run_as_user,
            "fsGroup": settings.run_as_user,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": containers,
        "volumes": [
            {"name": "tmp", "emptyDir": {}},
            {"name": "shm", "emptyDir": {"medium": "Memory"}},
            *volumes,
        ],
    }


def container(name: str, image: str, settings: Settings, *, env: dict[str, str], mounts: list[Manifest]) -> Manifest:
    """A container without any right; /tmp is its home."""
    variables = {"HOME": "/tmp", "TMPDIR": "/tmp", "USER": "rloop"} | env  # noqa: S108 -- an emptyDir of the pod's own
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": settings.pull_policy,
        "env": [{"name": key, "value": value} for key, value in variables.items()],
        "resources": SMALL,
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [mount("tmp", "/tmp"), mount("shm", "/dev/shm"), *mounts],  # noqa: S108 -- as above
    }


def ours(command: str, settings: Settings, env: dict[str, str], mounts: list[Manifest]) -> Manifest:
    """A container of the sidecar's image."""
    made = container(command, settings.sidecar_image, settings, env=env, mounts=mounts)
    made["args"] = [command]
    made["securityContext"] = made["securityContext"] | {"readOnlyRootFilesystem": True}
    return made


def mount(name: str, path: str, *, sub_path: str = "", read_only: bool = False) -> Manifest:
    """A volume's place in a container."""
    made: Manifest = {"name": name, "mountPath": path}
    if sub_path:
        made["subPath"] = sub_path
    if read_only:
        made["readOnly"] = True
    return made


def token_volume() -> Manifest:
    """The one token a pod of ours may hold: for the gateway, short-lived, bound to the pod."""
    token = {"path": "token", "audience": AUDIENCE, "expirationSeconds": TOKEN_SECONDS}
    return {"name": "token", "projected": {"sources": [{"serviceAccountToken": token}]}}
