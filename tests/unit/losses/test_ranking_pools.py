import pytest
import torch

from rankdet.losses import RankingPools


@pytest.mark.parametrize(
    ("pool_images", "images", "sizes"),
    [(None, 3, [3]), (2, 4, [2, 2]), (2, 5, [2, 2, 1]), (8, 3, [3]), (1, 0, [0]), (None, 0, [0])],
)
def test_every_image_is_in_one_pool(pool_images, images, sizes):
    slices = RankingPools(pool_images).slices(images)
    assert [len(range(images)[each]) for each in slices] == sizes
    assert [image for each in slices for image in range(images)[each]] == list(range(images))


def as_list(losses):
    if isinstance(losses, torch.Tensor):
        return [losses]
    return list(losses.values() if isinstance(losses, dict) else losses)


@pytest.mark.parametrize(
    "form", [lambda a: a, lambda a: (a, 2 * a), lambda a: {"a": a, "b": 2 * a}]
)
def test_the_mean_has_the_form_of_the_losses(form):
    values = torch.tensor([1.0, 3.0, 8.0], requires_grad=True)
    found = RankingPools(2).mean(3, lambda images: form(values[images].sum()))
    wanted = form(torch.tensor(6.0))
    assert type(found) is type(wanted)
    assert [each.item() for each in as_list(found)] == [each.item() for each in as_list(wanted)]
    as_list(found)[0].backward()
    assert values.grad.tolist() == [0.5, 0.5, 0.5]


@pytest.mark.parametrize("pool_images", [0, -1, 2.0, True, "4"])
def test_a_pool_has_an_image(pool_images):
    with pytest.raises(ValueError, match="expected pool_images >= 1 or None; got"):
        RankingPools(pool_images)
