"""What a cosine head with a margin class of its own owes, whatever its margin is."""

from __future__ import annotations

import torch

from lossbench.losses import cross_entropy_loss

CLASSES = 5


def draw(n=7, dim=8, length=1.0, dtype=torch.float64):
    """Embeddings of about the given length and their targets."""
    generator = torch.Generator().manual_seed(3)
    embedding = torch.randn(n, dim, generator=generator, dtype=torch.float64) * length / dim**0.5
    return embedding.to(dtype), torch.randint(CLASSES, (n,), generator=generator)


def cosines(head, embedding):
    """Plain floats, one row a sample."""
    rows = []
    for x in embedding.tolist():
        length = sum(a * a for a in x) ** 0.5
        row = []
        for w in head.weight.tolist():
            product = sum(a * b for a, b in zip(x, w, strict=True))
            row.append(product / (length * sum(b * b for b in w) ** 0.5))
        rows.append(row)
    return rows


def state(head):
    return {name: value.clone() for name, value in head.state_dict().items()}


def same(before, after):
    return before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)


def assert_gradients_are_those_of_the_values(head, embedding, target):
    """gradcheck through cross-entropy and the whole head, with its state held still."""

    def loss(x, weight):
        scores = torch.func.functional_call(head.eval(), {"weight": weight}, (x, target))
        return cross_entropy_loss(scores, target, tau=1.0)

    weight = head.weight.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(loss, (embedding.clone().requires_grad_(), weight))


def assert_finite(head, embedding, target):
    embedding = embedding.clone().requires_grad_()
    head.zero_grad()
    loss = cross_entropy_loss(head(embedding, target), target, tau=1.0)
    loss.sum().backward()
    for tensor in (loss, embedding.grad, head.weight.grad, *head.buffers()):
        assert torch.isfinite(tensor).all()


def assert_finite_at_the_edges(make, length):
    """On the prototype, opposite to it, at zero, in both precisions; with one class, and one sample."""
    for dtype in (torch.float32, torch.float64):
        head = make(CLASSES).to(dtype)
        for direction in (length, -length, 0.0):
            embedding = direction * torch.nn.functional.normalize(head.weight.detach())
            assert_finite(head, embedding, torch.arange(CLASSES))
            assert_finite(head, embedding[:1], torch.tensor([0]))
        assert_finite(
            make(1).to(dtype), draw(length=length, dtype=dtype)[0], torch.zeros(7, dtype=torch.long)
        )


def assert_samples_stand_alone(head, embedding, target):
    """Without a step of its state, a permuted batch has permuted losses; inputs are not written into."""
    head.eval()
    before = embedding.clone(), target.clone()
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    losses = [
        cross_entropy_loss(head(x, y), y, tau=1.0)
        for x, y in ((embedding, target), (embedding[order], target[order]))
    ]
    assert torch.allclose(losses[0][order], losses[1], rtol=1e-13, atol=0)
    assert torch.equal(embedding, before[0])
    assert torch.equal(target, before[1])


def assert_state_moves_in_training_alone(head, embedding, target):
    """Neither evaluation, nor no_grad, nor plain scores, nor the untrained ones; a round trip keeps it."""
    before = state(head)
    head(embedding)
    with torch.no_grad():
        head(embedding, target)
    head.untrained_scores(torch.tensor(cosines(head, embedding), dtype=torch.float64), target, norm=3.0)
    head.eval()
    head(embedding, target)
    assert same(before, state(head))
    head.train()
    head(embedding, target).sum().backward()
    after = state(head)
    assert not same(before, after)
    head.load_state_dict(before)
    assert same(before, state(head))
    head(embedding, target)
    assert same(after, state(head))
