#include "services/showq.hpp"

#include <doctest/doctest.h>

#include <algorithm>

using namespace posthorn;

TEST_CASE("showq: the octets of Postfix's showq(8)")
{
    handoff::QueueEntry entry;
    entry.set_queue_name("deferred");
    handoff::Envelope& envelope = *entry.mutable_envelope();
    envelope.set_queue_id("8C964A8808A");
    envelope.set_arrival(1795651360'250'000);
    envelope.set_size(282);
    envelope.set_sender("a@b.test");
    envelope.add_recipients()->set_address("x@c.test");
    handoff::Recipient& other = *envelope.add_recipients();
    other.set_address("y@c.test");
    other.set_original("alias@c.test");
    entry.add_reasons(std::string("refused\0", 8));
    std::string text = services::showq_greeting() + services::showq_entry(entry) + std::string(services::showq_end);
    std::ranges::replace(text, '\0', '|');
    CHECK(text == "protocol|mail_queue_list_protocol||queue_name|deferred|queue_id|8C964A8808A|time|1795651360|size|282|forced_expire|0|"
                  "sender|a@b.test|recipient|x@c.test|reason|refused?|original_recipient|alias@c.test|recipient|y@c.test|reason||||");
}
