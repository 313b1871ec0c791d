"""What training makes small. Every loss is the sum over the samples of a batch; 0 for none."""

import torch
from torch import Tensor
from torch.nn import functional


def classification(logits: Tensor, labels: Tensor, competing: Tensor | None) -> Tensor:
    """Return the cross-entropy among the competing classes.

    Restricting new samples to their own classes leaves the other rows of the head untouched by
    them, after Caccia et al. 2022, "New Insights on Reducing Abrupt Representation Change" (ER-ACE).

    Args:
        logits: (n, n_classes).
        labels: (n,), each one of the competing.
        competing: Class indices, ascending; None for all.

    """
    if competing is not None:
        logits, labels = logits[:, competing], torch.searchsorted(competing, labels)
    return functional.cross_entropy(logits, labels, reduction="sum")


def soft_classification(logits: Tensor, soft: Tensor) -> Tensor:
    """Return the cross-entropy to the probability of each class, (n, n_classes) like the logits."""
    return functional.cross_entropy(logits, soft, reduction="sum")


def distillation(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return the cross-entropy to a previous model's probabilities, both softened, times T^2.

    Hinton, Vinyals, Dean 2015, "Distilling the Knowledge in a Neural Network", section 2. A
    probability to the power 1/T, normalised, is the softmax of the teacher's logits over T.

    Args:
        logits: (n, n_classes); only the first k_old, the teacher's classes, take part.
        teacher: Class probabilities, (n, k_old).
        temperature: T, at least 1.

    """
    softened = teacher.clamp_min(1e-8) ** (1 / temperature)
    targets = softened / softened.sum(dim=1, keepdim=True)  # (n, k_old)
    students = functional.log_softmax(logits[:, : teacher.shape[1]] / temperature, dim=1)
    return -(targets * students).sum() * temperature**2
