"""Every client of Kafka in the product connects with the options of one place."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
CLIENTS = {"AIOKafkaConsumer", "AIOKafkaProducer", "AIOKafkaAdminClient"}
OPTIONS = {"client_options", "consumer_options"}


def names_in(node: ast.AST) -> set[str]:
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}


def test_every_client_has_the_options_that_the_settings_ask_for() -> None:
    made: dict[str, bool] = {}
    for path in [*ROOT.glob("shared/*/src/**/*.py"), *ROOT.glob("services/*/src/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and names_in(node.func) & CLIENTS:
                place = f"{path.relative_to(ROOT)}:{node.lineno}"
                made[place] = any(word.arg is None and names_in(word.value) & OPTIONS for word in node.keywords)
    assert len(made) > 10
    assert [place for place, has_them in made.items() if not has_them] == []
