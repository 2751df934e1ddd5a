"""What a call costs depends on whose endpoint it goes to."""

from decimal import Decimal

import pytest
from pydantic_ai.usage import RequestUsage

from opaa.llm.chat import cost_of

USAGE = RequestUsage(input_tokens=1_000_000, output_tokens=100_000)


@pytest.mark.req("LLM-3")
def test_a_providers_known_model_has_its_price():
    assert cost_of(USAGE, "gpt-4o", "https://api.openai.com/v1") == Decimal("3.5")


@pytest.mark.parametrize(
    ("model", "base_url"),
    [
        ("gpt-4o", "http://127.0.0.1:11434/v1"),
        ("qwen3:8b", "http://ollama:11434/v1"),
        ("x", "https://api.openai.com/v1"),
    ],
)
def test_unknown_models_and_ones_own_machines_cost_nothing(model, base_url):
    assert cost_of(USAGE, model, base_url) == 0
