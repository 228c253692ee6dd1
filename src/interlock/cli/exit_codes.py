"""What does an exit code say? Every code that a command may end with; `docs/reference/exit-codes.md` is this table."""

from __future__ import annotations

DONE = 0
FAILED = 1
USAGE = 2
HELD = 3
PERSON = 4
LATE = 5
UNCLEAR = 6
FAULT = 70
INTERRUPTED = 130

MEANINGS = {
    DONE: ("done", "It worked; what was asked is so."),
    FAILED: (
        "failed",
        "It did not work: refused, not found, not reached; or what was waited for ended badly. One sentence on stderr.",
    ),
    USAGE: ("usage", "The command line was wrong; nothing was asked."),
    HELD: ("held", "A question was answered with no: something holds it, or it is decided otherwise today."),
    PERSON: ("person", "A question was answered with no, and all that is missing is a person's yes."),
    LATE: ("late", "The time that was given is over, and what was waited for is neither done nor failed."),
    UNCLEAR: ("unclear", "What was waited for neither passed nor failed: nothing could tell, and a person has to say."),
    FAULT: ("fault", "A fault of the command itself. `INTERLOCK_DEBUG=1` shows where."),
    INTERRUPTED: ("interrupted", "Ctrl-C. What was asked before stays asked."),
}
"""Code -> its word, and what it says. 70 is `EX_SOFTWARE` of sysexits.h; 130 is what shells give for SIGINT."""

OF_COMMANDS = {
    "apply": {
        DONE: "it is so; with `--dry-run`, it could be",
        FAILED: "something was refused, and nothing was written",
        HELD: "with `--diff`: something would change",
    },
    "can-deploy": {DONE: "allow", HELD: "hold", PERSON: "only people hold it"},
    "access can-i": {DONE: "yes", HELD: "no"},
    "replay": {DONE: "it is decided the same today", HELD: "it is not"},
    "watch": {
        DONE: "the version runs, verified, on every target that takes it",
        FAILED: "a rollout failed, was halted, aborted or taken back; or the version was rejected",
        LATE: "`--timeout` is over",
    },
    "verification watch": {
        DONE: "it passed",
        FAILED: "it failed",
        LATE: "`--timeout` is over",
        UNCLEAR: "nothing could tell, and nothing more is measured by itself",
    },
    "plan": {DONE: "everything is known and no rule objects", FAILED: "something errored or a rule objects"},
    "simulate": {DONE: "every expectation holds", FAILED: "one does not"},
}
"""Commands that scripts ask -> what their codes say."""
