#include "send/verdict.hpp"

#include <doctest/doctest.h>

using namespace posthorn::send;
using posthorn::Error;
using posthorn::smtp::Reply;

TEST_CASE("verdict: a 5xx counts in the place of a command it may answer, and only if nothing was out of step")
{
    const Reply unknown(550, "5.1.1", "User unknown");
    CHECK(judge(Act::rcpt, unknown, {}) == Judgement::permanent);
    CHECK(judge(Act::rcpt, unknown, {.behind_others = true}) == Judgement::permanent);
    CHECK(judge(Act::rcpt, unknown, {.out_of_step = true}) == Judgement::temporary);
    Reply mixed = unknown;
    mixed.mixed_codes = true;
    CHECK(judge(Act::rcpt, mixed, {}) == Judgement::temporary);
    Reply after_garbage = unknown;
    after_garbage.garbage = 1;
    CHECK(judge(Act::rcpt, after_garbage, {}) == Judgement::temporary);
}

TEST_CASE("verdict: what a pipelined command gets about the dialogue is no news about the mail")
{
    for (const int code : {500, 502, 503, 504}) {
        CHECK(judge(Act::rcpt, Reply(code, "", "what?"), {.behind_others = true}) == Judgement::temporary);
        CHECK(judge(Act::rcpt, Reply(code, "", "what?"), {}) == Judgement::permanent);
    }
}

TEST_CASE("verdict: a reply that cannot answer the command is out of place; 421 and an unasked 221 end the session")
{
    CHECK(judge(Act::rcpt, Reply(354, "", "go"), {}) == Judgement::out_of_place);
    CHECK(judge(Act::data, Reply(250, "", "ok"), {}) == Judgement::out_of_place);
    CHECK(judge(Act::dot, Reply(354, "", "go"), {}) == Judgement::out_of_place);
    CHECK(judge(Act::mail, Reply(334, "", "?"), {}) == Judgement::out_of_place);
    CHECK(judge(Act::mail, Reply(221, "", "bye"), {}) == Judgement::leaving);
    CHECK(judge(Act::quit, Reply(221, "", "bye"), {}) == Judgement::good);
    CHECK(judge(Act::dot, Reply(421, "", "bye"), {}) == Judgement::leaving);
}

TEST_CASE("verdict: texts are Postfix's")
{
    const Reply reply(550, "5.1.1", "No such user");
    const Reason said = reason_of_reply(reply, Judgement::permanent, Act::rcpt, "h.test[192.0.2.1]", "h.test");
    CHECK(said.text == "host h.test[192.0.2.1] said: 550 5.1.1 No such user (in reply to RCPT TO command)");
    CHECK(said.status == "5.1.1");
    CHECK(said.permanent);
    CHECK(reason_of_reply(reply, Judgement::temporary, Act::dot, "h[a]", "h").status == "4.5.0");
    CHECK(reason_of_reply(Reply(554, "", "no"), Judgement::permanent, Act::dot, "h[a]", "h").text ==
          "host h[a] said: 554 no (in reply to end of DATA command)");
    CHECK(reason_of_reply(Reply(554, "4.1.1", "no"), Judgement::permanent, Act::mail, "h[a]", "h").status == "5.0.0");
    CHECK(reason_of_error(Error("lost connection", "4.4.2"), "h[a]", phase(Act::rcpt)).text == "lost connection with h[a] while sending RCPT TO");
    CHECK(reason_of_error(Error("conversation timed out", "4.4.2"), "h[a]", phase(Act::dot)).text ==
          "conversation with h[a] timed out while sending end of data -- message may be sent more than once");
}

TEST_CASE("sheet: a fate once final stays; what failed for now opens again for the next host")
{
    Sheet sheet(3);
    sheet.accept(0, Reply(250, "2.1.5", "ok"));
    sheet.accept(1, Reply(250, "2.1.5", "ok"));
    sheet.fail(2, Reason(true, "5.1.1", "unknown"));
    sheet.deliver_accepted(std::array<std::uint32_t, 3>{0, 1, 2}, Reply(250, "2.0.0", "queued"));
    sheet.fail_open(Reason(false, "4.4.2", "lost"));
    CHECK(sheet[0].state == Fate::State::delivered);
    CHECK(sheet[0].text == "250 2.0.0 queued");
    CHECK(sheet[2].reason.status == "5.1.1");
    CHECK(sheet.all_final());
    Sheet later(2);
    later.fail(0, Reason(false, "4.2.0", "later"));
    later.fail(1, Reason(true, "5.1.1", "never"));
    CHECK(later.settled());
    CHECK(!later.all_final());
    later.reopen();
    CHECK(later[0].state == Fate::State::open);
    CHECK(later[1].state == Fate::State::failed);
}

TEST_CASE("a flight cut short: an answer is certain where those behind it leave it no other place")
{
    const std::array three{Act::mail, Act::rcpt, Act::rcpt, Act::rcpt, Act::data};
    // DATA has no answer: 250 cannot be its, so all stand where they are.
    CHECK(!may_be_later_ones(three, std::array{250, 250, 550, 250}, 2));
    CHECK(may_be_later_ones(three, std::array{250, 250, 250, 550}, 3));
    CHECK(may_be_later_ones(three, std::array{250, 550}, 1));
    CHECK(may_be_later_ones(three, std::array{250, 550, 250}, 1));
    CHECK(!may_be_later_ones(three, std::array{250, 550, 250, 250, 354}, 1));       // nothing is missing
    const std::array probe{Act::mail, Act::rcpt, Act::rcpt};
    CHECK(may_be_later_ones(probe, std::array{250, 550}, 1));
}
