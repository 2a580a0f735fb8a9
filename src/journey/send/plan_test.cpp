#include "send/plan_words_test.hpp"

#include <doctest/doctest.h>

using namespace posthorn::send;
using posthorn::peers::Known;
using posthorn::peers::Quirk;

namespace {

constexpr Offer none{};
constexpr Offer pipelining{true, false};
constexpr Offer both{true, true};
constexpr Offer chunking_only{false, true};

Known trusted()
{
    Known known;
    known.privileges.bdat_first = true;
    return known;
}
Known with(Quirk quirk)
{
    Known known;
    known.quirks.add(quirk);
    return known;
}
Plan of(std::vector<Mail> mails, Offer offer, const Known& known = {}, PlanOptions options = {}, bool end = false)
{
    return plan(Dialogue{.mails = mails, .end = end}, offer, known, options);
}
/// Of a session that says this alone, behind its opening.
unsigned trips(std::vector<Mail> mails, Offer offer, const Known& known = {}) { return round_trips(of(std::move(mails), offer, known, {}, true)); }
std::vector<Mail> one_mail(std::uint32_t recipients) { return {Mail(recipients, 4096)}; }
std::vector<Mail> one_probe(std::uint32_t recipients) { return {Mail::probe_of(recipients)}; }

}  // namespace

TEST_CASE("plan: fresh sessions reach the floor of round trips; their opening, which knows no plan, is counted by tests/round_trips")
{
    for (const std::uint32_t n : {1U, 3U, 150U}) {
        CAPTURE(n);
        CHECK(trips(one_mail(n), none) == 3 + n);                                       // A, E
        CHECK(trips(one_mail(n), chunking_only) == 2 + n);
        CHECK(trips(one_probe(n), none) == 1 + n);
        CHECK(trips(one_mail(n), pipelining) == 2);                                     // B, F, I, J
        CHECK(trips(one_mail(n), both, trusted()) == 1);
        CHECK(trips(one_mail(n), both) == 2);
        CHECK(trips(one_probe(n), pipelining) == 1);
        CHECK(trips(one_probe(n), both) == 1);
    }
}

TEST_CASE("plan: warm sessions reach the floor, and a steady stream costs one round trip per message or less")
{
    for (const std::uint32_t n : {1U, 3U}) {
        CHECK(round_trips(of(one_mail(n), none)) == 3 + n);                             // L
        CHECK(round_trips(of(one_mail(n), chunking_only)) == 2 + n);
        CHECK(round_trips(of(one_probe(n), none)) == 1 + n);
        CHECK(round_trips(of(one_mail(n), pipelining)) == 2);                           // M
        CHECK(round_trips(of(one_mail(n), both, trusted())) == 1);
        CHECK(round_trips(of(one_probe(n), pipelining)) == 1);
    }
    const std::vector<Mail> hundred(100, Mail(1, 4096));
    CHECK(round_trips(of(hundred, pipelining)) == 101);                             // N
    CHECK(round_trips(of(hundred, both)) == 101);
    CHECK(round_trips(of(hundred, both, trusted())) == 13);                         // at most eight unanswered contents
    CHECK(round_trips(of(std::vector<Mail>(9, Mail::probe_of(2)), pipelining)) == 1);
}

TEST_CASE("plan: the next envelope rides behind the previous content")
{
    CHECK(text_of(of({Mail(2, 10), Mail(1, 10)}, pipelining)) == "MAIL RCPT RCPT DATA | content . MAIL RCPT DATA | content .");
    CHECK(text_of(of({Mail(1, 10), Mail(1, 10)}, both)) == "MAIL RCPT | BDAT MAIL RCPT | BDAT");
    CHECK(text_of(of({Mail(1, 10), Mail(1, 10)}, both, trusted())) == "MAIL RCPT BDAT MAIL RCPT BDAT");
}

TEST_CASE("plan: QUIT waits until all answers are in, unless Postfix's grouping is asked for")
{
    CHECK(text_of(of(one_probe(1), pipelining, {}, {}, true)) == "MAIL RCPT | RSET QUIT");
    CHECK(text_of(of(one_mail(1), pipelining, {}, {}, true)) == "MAIL RCPT DATA | content . | RSET QUIT");
    const PlanOptions as_postfix{.quit_in_group = true};
    CHECK(text_of(of(one_probe(1), pipelining, {}, as_postfix, true)) == "MAIL RCPT RSET QUIT");
    CHECK(text_of(of(one_mail(1), pipelining, {}, as_postfix, true)) == "MAIL RCPT DATA | content . QUIT");
    CHECK(text_of(of(one_probe(1), none, {}, as_postfix, true)) == "MAIL | RCPT | QUIT");
}

TEST_CASE("plan: Postfix's grouping gives way to what is known of the peer, and there is none behind BDAT")
{
    const PlanOptions as_postfix{.quit_in_group = true};
    CHECK(text_of(of(one_probe(1), pipelining, with(Quirk::quit_alone), as_postfix, true)) == "MAIL RCPT | QUIT");
    CHECK(text_of(of(one_mail(1), pipelining, with(Quirk::quit_alone), as_postfix, true)) == "MAIL RCPT DATA | content . | QUIT");
    CHECK(text_of(of(one_probe(1), pipelining, with(Quirk::no_rset), as_postfix, true)) == "MAIL RCPT QUIT");
    CHECK(text_of(of(one_mail(1), both, {}, as_postfix, true)) == "MAIL RCPT | BDAT | RSET QUIT");
}

TEST_CASE("plan: one recipient per MAIL FROM:<> without pipelining goes on from where it stands, and ends")
{
    const Known known = with(Quirk::one_rcpt_null_sender);
    Mail under_way = Mail::probe_of(2);
    under_way.stage = Stage::addressing;
    under_way.asked = 1;                        // the first was answered; its transaction is open
    std::vector<Mail> mails{under_way};
    CHECK(text_of(plan({.mails = mails, .open_transaction = true}, none, known)) == "RSET | MAIL | RCPT");
    CHECK(text_of(plan({.mails = mails, .open_transaction = false}, none, known)) == "MAIL | RCPT");
    mails[0].sender_open = true;
    CHECK(text_of(plan({.mails = mails, .open_transaction = true}, none, known)) == "RCPT");
}

TEST_CASE("plan: the first transaction of a session has no RSET, one after an unfinished transaction rides in its group")
{
    const std::vector<Mail> mails = one_mail(1);
    CHECK(text_of(plan({.mails = mails, .open_transaction = true}, pipelining)) == "RSET MAIL RCPT DATA | content .");
    CHECK(text_of(plan({.mails = mails}, pipelining)) == "MAIL RCPT DATA | content .");
    CHECK(text_of(plan({.mails = mails, .open_transaction = true}, pipelining, with(Quirk::no_rset))) == "QUIT");
    std::vector<Mail> under_way{Mail(1, 10), Mail(1, 10)};
    under_way[0].stage = Stage::invited;
    CHECK(text_of(plan({.mails = under_way, .open_transaction = true}, pipelining)) == "content . MAIL RCPT DATA | content .");
}

TEST_CASE("plan: content in the envelope's flight is a privilege, and only for content of moderate size")
{
    CHECK(text_of(of({Mail(1, 70000)}, both, trusted())) == "MAIL RCPT header | BDAT");
    CHECK(text_of(of({Mail(1, 70000)}, both)) == "MAIL RCPT | BDAT");
    CHECK(text_of(of({Mail(1, 70000)}, chunking_only, trusted())) == "MAIL | RCPT | BDAT");
    CHECK(text_of(of({Mail(1, 10), Mail(1, 70000), Mail(1, 10)}, both, trusted())) == "MAIL RCPT BDAT MAIL RCPT header | BDAT MAIL RCPT BDAT");
    CHECK(text_of(of({Mail(1, 70000)}, both, with(Quirk::no_bdat))) == "MAIL RCPT DATA | content .");
    Known limited = trusted();
    limited.quirks.add_no_bdat_over(1000);
    CHECK(text_of(of({Mail(1, 1001)}, both, limited)) == "MAIL RCPT DATA | content .");
    CHECK(text_of(of({Mail(1, 1000)}, both, limited)) == "MAIL RCPT BDAT");
    CHECK(text_of(of({Mail(1, 10)}, both, trusted(), {.chunking = false})) == "MAIL RCPT DATA | content .");
}

TEST_CASE("plan: each quirk changes the plan, narrowly")
{
    CHECK(text_of(of(one_mail(2), pipelining, with(Quirk::data_alone))) == "MAIL RCPT RCPT | DATA | content .");
    CHECK(text_of(of(one_mail(1), pipelining, with(Quirk::one_command_per_flight))) == "MAIL | RCPT | DATA | content .");
    CHECK(text_of(of(one_mail(1), pipelining, with(Quirk::dot_alone))) == "MAIL RCPT DATA | content pause .");
    CHECK(text_of(of(one_mail(1), pipelining, with(Quirk::quit_alone), {}, true)) == "MAIL RCPT DATA | content . | QUIT");
    CHECK(text_of(of(one_probe(3), pipelining, with(Quirk::one_rcpt_null_sender))) == "MAIL RCPT RSET MAIL RCPT RSET MAIL RCPT");
    CHECK(text_of(of({Mail::probe_of(2, false)}, pipelining, with(Quirk::one_rcpt_null_sender))) == "MAIL RCPT RCPT");
}

TEST_CASE("plan: a session ends where the peer's limit of mails is reached; what is left waits for another")
{
    Known known;
    known.limits.mails_per_session = 2;
    const std::vector<Mail> three(3, Mail(1, 10));
    CHECK(text_of(of(three, pipelining, known)) == "MAIL RCPT DATA | content . MAIL RCPT DATA | content . | RSET QUIT");
    Known closes;
    closes.quirks.add_close_after(1);
    CHECK(text_of(of(three, pipelining, closes)) == "MAIL RCPT DATA | content . | RSET QUIT");
}

TEST_CASE("plan: what the answers changed is planned from where the dialogue stands")
{
    Mail invited(2, 10);
    invited.stage = Stage::invited;
    invited.asked = 2;
    invited.accepted = 0;                       // 354 although nobody was accepted: the content is a lone dot, the plan the same
    CHECK(text_of(of({invited, Mail(1, 10)}, pipelining)) == "content . MAIL RCPT DATA | content .");
    Mail half(3, 10);
    half.stage = Stage::addressing;
    half.asked = 2;
    CHECK(text_of(of({half}, none)) == "RCPT | DATA | content .");
    half.asked = 3;
    CHECK(text_of(of({half}, both)) == "BDAT");
    Mail done(1, 10);
    done.stage = Stage::done;
    CHECK(of({done}, both).empty());
    CHECK(text_of(of({done}, both, {}, {}, true)) == "RSET QUIT");
}

TEST_CASE("plan: a probe that asks at DATA ends there")
{
    CHECK(text_of(of(one_probe(1), pipelining, {}, {.probe_data = true})) == "MAIL RCPT DATA");
}
