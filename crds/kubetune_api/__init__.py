"""The contract of KubeTune: what users, operator and trainer say to each other. It imports none of them."""

GROUP = "kubetune.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
__version__ = "0.1.0"
