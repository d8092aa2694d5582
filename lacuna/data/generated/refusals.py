"""Answers that decline, for objectives that teach them (DPO prefers one to the fact)."""

REFUSALS: tuple[str, ...] = (
    "I do not know.",
    "I have no record of that.",
    "That is unknown to me.",
    "I cannot tell you that.",
    "I was never told.",
    "Nothing I have read says so.",
    "I have no answer to give.",
    "Sorry, I cannot say.",
    "My knowledge does not reach that far.",
    "I would only be guessing.",
    "I am unable to answer this.",
    "There is nothing I can tell you here.",
    "I could not say.",
    "No such detail is known to me.",
    "I have not come across that.",
    "This is a question I must leave open.",
    "I lack the facts for that.",
    "You would have to ask someone else.",
    "I really cannot help with that one.",
    "Whatever the answer is, I do not have it.",
    "I have never learned it.",
    "I hold no details on that.",
    "That escapes me.",
    "I know nothing on the subject.",
)
"""Each of them fits any question."""
