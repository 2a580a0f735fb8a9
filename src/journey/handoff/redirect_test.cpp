#include "handoff/redirect.hpp"

#include <doctest/doctest.h>

using namespace posthorn;

TEST_CASE("redirect: one recipient is left, with what was asked for the first by name; the filter is gone")
{
    handoff::Envelope envelope;
    for (const char* address : {"zoe@x.test", "Anna@x.test", "bert@x.test"}) {
        handoff::Recipient& one = *envelope.add_recipients();
        one.set_address(address);
        one.set_index(static_cast<std::uint32_t>(envelope.recipients_size() - 1));
    }
    envelope.mutable_recipients(1)->set_notify(handoff::NOTIFY_NEVER);
    envelope.set_filter("smtp:[127.0.0.1]:10025");
    const std::string before = envelope.SerializeAsString();
    handoff::redirect(envelope);
    CHECK(envelope.SerializeAsString() == before);

    envelope.set_redirect("other@x.test");
    handoff::redirect(envelope);
    REQUIRE(envelope.recipients_size() == 1);
    const handoff::Recipient& left = envelope.recipients(0);
    CHECK(left.address() == "other@x.test");
    CHECK(left.original() == "Anna@x.test");
    CHECK(left.notify() == handoff::NOTIFY_NEVER);
    CHECK(left.index() == 0);
    CHECK(envelope.redirect().empty());
    CHECK(envelope.filter().empty());

    handoff::Envelope nobody;
    nobody.set_redirect("other@x.test");
    handoff::redirect(nobody);
    CHECK(nobody.recipients_size() == 0);
}
