"""Which logits a sample trains, and towards what."""

import pytest
import torch

from learning.losses import classification, distillation, soft_classification

LOGITS = [[2.0, -1.0, 0.5, 1.0], [0.0, 3.0, -2.0, 0.5]]


def test_over_all_classes_it_is_cross_entropy() -> None:
    logits = torch.tensor(LOGITS)
    labels = torch.tensor([3, 1])
    expected = -logits.log_softmax(dim=1)[[0, 1], labels].sum()
    assert classification(logits, labels, None).item() == pytest.approx(expected.item())


def test_new_samples_leave_the_other_classes_alone() -> None:
    logits = torch.tensor(LOGITS, requires_grad=True)
    loss = classification(logits, torch.tensor([3, 1]), torch.tensor([1, 3]))
    loss.backward()  # type: ignore[no-untyped-call]  # torch does not annotate it

    expected = -torch.tensor([[-1.0, 1.0], [3.0, 0.5]]).log_softmax(dim=1)
    assert loss.item() == pytest.approx((expected[0, 1] + expected[1, 0]).item())
    assert logits.grad is not None
    assert not logits.grad[:, [0, 2]].any()
    assert logits.grad[:, [1, 3]].all()


def test_no_samples_cost_nothing() -> None:
    loss = classification(torch.empty(0, 4), torch.empty(0, dtype=torch.int64), None)
    assert loss.item() == 0
    assert soft_classification(torch.empty(0, 4), torch.empty(0, 4)).item() == 0


def test_a_certain_soft_label_is_a_label() -> None:
    logits = torch.tensor(LOGITS)
    soft = torch.tensor([[0.0, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 0.0]])
    hard = classification(logits, torch.tensor([3, 1]), None)
    assert soft_classification(logits, soft).item() == pytest.approx(hard.item())


def test_a_soft_label_is_learned_as_it_is() -> None:
    soft = torch.tensor([[0.5, 0.2, 0.2, 0.1]])
    logits = soft.log().requires_grad_()
    soft_classification(logits, soft).backward()  # type: ignore[no-untyped-call]  # as above
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, torch.zeros(1, 4), atol=1e-6, rtol=0)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_softened_probabilities_are_the_softmax_of_softened_logits(temperature: float) -> None:
    logits = torch.tensor(LOGITS)
    old = torch.tensor([[0.3, 1.5], [2.0, -1.0]])
    targets = (old / temperature).softmax(dim=1)
    log_students = (logits[:, :2] / temperature).log_softmax(dim=1)

    loss = distillation(logits, old.softmax(dim=1), temperature)

    expected = -(targets * log_students).sum().item() * temperature**2
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_distillation_is_least_where_the_student_agrees() -> None:
    teacher = torch.tensor([[0.7, 0.2, 0.1]])
    logits = torch.cat([teacher.log(), torch.tensor([[5.0]])], dim=1).requires_grad_()
    distillation(logits, teacher, 2.0).backward()  # type: ignore[no-untyped-call]  # as above
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, torch.zeros(1, 4), atol=1e-6, rtol=0)


def test_certain_teacher_gives_a_finite_loss() -> None:
    loss = distillation(torch.tensor(LOGITS), torch.tensor([[1.0, 0.0], [0.0, 1.0]]), 2.0)
    assert torch.isfinite(loss)
