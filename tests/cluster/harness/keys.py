"""Keys, certificates, tokens and kubeconfigs of one cluster, made anew each time.

Called by `control_plane`. Everything is random and lives in the state directory only: a test cluster with a
known token would let every program on the machine become its administrator.
"""

import secrets
from pathlib import Path

from tests.cluster.harness import paths
from tests.cluster.harness.shell import run, write

# User -> groups. These names have their rights from the roles that every API server makes for itself.
USERS = {
    "admin": "system:masters",
    "system:kube-controller-manager": "",
    "system:kube-scheduler": "",
    f"system:node:{paths.NODE_NAME}": "system:nodes",
    "system:kube-proxy": "",
    "system:coredns": "",
}

_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-days", "365")


def folder() -> Path:
    """Where they lie."""
    return paths.state() / "keys"


def make() -> None:
    """Make all of them."""
    folder().mkdir(mode=0o700)
    authority = ("-CA", folder() / "ca.crt", "-CAkey", folder() / "ca.key")
    _certificate("ca", "/CN=rloop-test-ca")
    names = ["localhost", *(f"kubernetes{rest}" for rest in ("", ".default", ".default.svc"))]
    subject = [f"DNS:{name}" for name in names]
    subject += [f"IP:{address}" for address in ("127.0.0.1", paths.NODE_ADDRESS, paths.API_SERVICE_ADDRESS)]
    _certificate("api-server", "/CN=kube-apiserver", *authority, "-addext", f"subjectAltName={','.join(subject)}")
    # What the API server shows to kubelet when it asks for logs.
    _certificate("kubelet-client", "/O=system:masters/CN=kube-apiserver-kubelet-client", *authority)
    run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", folder() / "accounts.key")
    tokens = {user: secrets.token_hex(24) for user in USERS}
    rows = [f'{tokens[user]},{user},{user},"{groups}"' for user, groups in USERS.items()]
    write(folder() / "tokens.csv", "\n".join(rows) + "\n", mode=0o600)
    for user, token in tokens.items():
        write(kubeconfig(user), _kubeconfig(token), mode=0o600)


def kubeconfig(user: str) -> Path:
    """The kubeconfig of a user; the administrator's lies where people look for it."""
    if user == "admin":
        return paths.kubeconfig()
    return folder() / f"{user.replace(':', '-')}.kubeconfig"


def _certificate(name: str, subject: str, *more: str | Path) -> None:
    files = ("-keyout", folder() / f"{name}.key", "-out", folder() / f"{name}.crt")
    run("openssl", "req", "-x509", *_NEW_KEY, "-subj", subject, *files, *more)


def _kubeconfig(token: str) -> str:
    # JSON is YAML, but people read this file.
    return f"""\
apiVersion: v1
kind: Config
clusters:
- name: rloop-test
  cluster:
    server: {paths.API_SERVER}
    certificate-authority: {folder() / "ca.crt"}
users:
- name: rloop-test
  user:
    token: {token}
contexts:
- name: rloop-test
  context: {{cluster: rloop-test, user: rloop-test}}
current-context: rloop-test
"""
