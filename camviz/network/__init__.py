"""Everything that runs or inspects a torch module.

torchvision's missing operators are declared here, before any module of this package imports timm.
"""

from camviz.network import torchvision_ops  # noqa: F401
