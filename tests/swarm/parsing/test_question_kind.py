"""Questions about tools, and hypothetical ones, are told from requests."""

import json
from pathlib import Path

from swarmchat.swarm.parsing.question_kind import asks_about_calls, asks_for_code, asks_hypothetically

DATA = Path(__file__).parent / "data" / "questions.jsonl"
QUESTIONS = [json.loads(line) for line in DATA.read_text("utf-8").splitlines()]
NAMES = """order_tea find_fact place_order fill_order show_board play add_to_basket get_weather search_products
cancel_order book_table send_email transfer_to_sales""".split()


def is_no_request(question: str) -> bool:
    return asks_about_calls(question, NAMES) or asks_hypothetically(question, NAMES)


def test_no_request_is_taken_for_a_hypothetical_question() -> None:
    requests = [each["question"] for each in QUESTIONS if not each["hypothetical"]]
    assert len(requests) >= 190
    assert [question for question in requests if is_no_request(question)] == []


def test_nine_of_ten_hypothetical_questions_are_recognized() -> None:
    questions = [each["question"] for each in QUESTIONS if each["hypothetical"]]
    assert len(questions) >= 180
    missed = [question for question in questions if not is_no_request(question)]
    assert len(missed) <= len(questions) / 10, missed


def test_a_question_that_asks_for_a_program() -> None:
    for question in (
        "write me Python that calls get_weather",
        "Write a small Python snippet which orders tea",
        "give me a script that prints the weather in Paris",
        "How do I print the weather in Python?",
        "Write code that orders tea",
        "show me some example code for ordering tea",
        "Schreib mir ein Skript, das Tee bestellt",
    ):
        assert asks_for_code(question), question
    for question in (
        *(each["question"] for each in QUESTIONS),
        "what discount code can I use?",
        "show me the code of my booking",
        "generate a discount code for Ann",
        "sign me up for the loyalty program",
        "Write an email to Bob about the new program",
        "I want a book about Python",
        "Write a Python script that sorts and save it",
        "Write a script that sums 1 to 9. Then order tea.",
    ):
        assert not asks_for_code(question), question


def test_a_long_question_is_read_at_both_ends() -> None:
    text = "Lorem ipsum. " * 10_000
    assert is_no_request(f"Which arguments does play take? {text}")
    assert is_no_request(f"{text} What would you do?")
    assert not is_no_request(f"Translate this: {text}")
