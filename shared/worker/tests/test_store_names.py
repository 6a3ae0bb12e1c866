"""What is read from the names of the objects in the stores."""

import pytest

from headrace_worker.beside import generation_of, of_generation
from headrace_worker.settings import CommonSettings
from headrace_worker.store_names import StoreNames, model_in

MODELS = ("minilm-l6-v2", "m")
NAMESPACES = ("", "shop", "a__b", "a____", "products__x", "products__minilm")


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("namespace", NAMESPACES)
@pytest.mark.parametrize("name", ["products", "product_keywords"])
def test_the_model_and_the_generation_are_read_from_names_in_every_namespace(
    namespace: str, model: str, name: str
) -> None:
    settings = CommonSettings.model_construct(namespace=namespace, model=model)
    for generation in (1, 2, 13):
        names: StoreNames = of_generation(settings, generation).names
        for of_model in (names.of_model(name), f"{names.of_model(name)}__current"):
            assert model_in(of_model) == model
            assert generation_of(of_model) == generation
        assert generation_of(f"{names.public(name)}-v1") == generation
    assert model_in(name) is None
