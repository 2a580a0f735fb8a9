#include "handoff/verp.hpp"

#include <doctest/doctest.h>

using namespace posthorn::handoff;

TEST_CASE("verp: the return path names the recipient as it was before rewriting")
{
    Recipient recipient;
    recipient.set_address("joe@there.test");
    CHECK(verp_sender("+=", "list@ours.test", recipient) == "list+joe=there.test@ours.test");
    CHECK(verp_sender("-+", "list@ours.test", recipient) == "list-joe+there.test@ours.test");
    recipient.set_original("j.doe@example.test");
    CHECK(verp_sender("+=", "list@ours.test", recipient) == "list+j.doe=example.test@ours.test");
    CHECK(verp_sender("+=", "list", recipient) == "list+j.doe=example.test");
    recipient.set_original("j.doe@example.test.");
    CHECK(verp_sender("+=", "list@ours.test", recipient) == "list+j.doe=example.test@ours.test");
    recipient.set_original("joe");
    CHECK(verp_sender("+=", "list@ours.test", recipient) == "list+joe@ours.test");
    CHECK(verp_sender("+=", "", recipient) == "");
    CHECK(verp_sender("", "list@ours.test", recipient) == "list@ours.test");
}

TEST_CASE("verp: delimiters are two of those allowed")
{
    CHECK(are_verp_delimiters("+=", "-=+"));
    CHECK_FALSE(are_verp_delimiters("+", "-=+"));
    CHECK_FALSE(are_verp_delimiters("+@", "-=+"));
    CHECK_FALSE(are_verp_delimiters("+=-", "-=+"));
    CHECK_FALSE(are_verp_delimiters("", "-=+"));
}
