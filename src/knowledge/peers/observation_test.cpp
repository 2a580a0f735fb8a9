#include "peers/observation.hpp"

#include <doctest/doctest.h>

using namespace posthorn::peers;
using enum Verb;
using Kind = Sighting::Kind;

namespace {

Evidence session(std::vector<Exchange> exchanges, Quirks in_force = {}, std::uint32_t mails = 0)
{
    Evidence evidence;
    evidence.peer = {"192.0.2.2", "peer.test", "site"};
    evidence.exchanges = std::move(exchanges);
    evidence.in_force = in_force;
    evidence.mails = mails;
    return evidence;
}

/// "quit-alone signature", in the order found.
std::string found(const Evidence& evidence)
{
    constexpr std::string_view words[] = {"signature", "suspicion", "worked", "failed-without", "worked-without"};
    std::string text;
    for (const Sighting& sighting : observe(evidence).sightings)
        text += fmt::format("{}{} {}", text.empty() ? "" : ", ", name_of(sighting.quirk), words[static_cast<std::size_t>(sighting.kind)]);
    return text;
}
std::string found(Exchange exchange, Quirks in_force = {}, std::uint32_t mails = 0) { return found(session({std::move(exchange)}, in_force, mails)); }

}  // namespace

TEST_CASE("observe: a lone 221 for a group that ends in QUIT is the signature of quit-alone, in the probe's group, behind the dot and in the goodbye")
{
    CHECK(found({.verbs = {mail, rcpt, rset, quit}, .codes = {221}, .end = StreamEnd::end}) == "quit-alone signature");
    CHECK(found({.verbs = {dot, quit}, .codes = {221}}) == "quit-alone signature");
    CHECK(found({.verbs = {rset, quit}, .codes = {221}}).starts_with("quit-alone signature"));
    CHECK(observe(session({{.verbs = {mail, rcpt, rset, quit}, .codes = {221}, .end = StreamEnd::end}})).sightings[0].seen ==
          "MAIL RCPT RSET QUIT: 221, then the end of the stream");
}

TEST_CASE("observe: what was said before the greeting proves nothing about what is said in time; nor EHLO's end in TLS about EHLO")
{
    CHECK(found({.verbs = {ehlo, mail, rcpt, data}, .codes = {250, 500}, .early = true}) == "");
    CHECK(found({.verbs = {mail, rcpt, rset, quit}, .codes = {221}, .early = true}) == "");
    Evidence secured = session({{.verbs = {ehlo}, .end = StreamEnd::end}});
    secured.tls = true;
    CHECK(found(secured) == "");
}

TEST_CASE("observe: a group that is answered in full speaks for the peer")
{
    CHECK(found({.verbs = {mail, rcpt, rset, quit}, .codes = {250, 250, 250, 221}}) == "quit-alone worked");
    CHECK(found({.verbs = {mail, rcpt, data}, .codes = {250, 250, 354}}) == "one-command-per-flight worked, data-alone worked");
    CHECK(found({.verbs = {mail, rcpt, rcpt}, .codes = {250, 550, 250}}) == "one-command-per-flight worked");
}

TEST_CASE("observe: silence and loss behind a group are suspicions of the narrowest quirk that explains them")
{
    for (const StreamEnd end : {StreamEnd::end, StreamEnd::reset, StreamEnd::timeout}) {
        CHECK(found({.verbs = {mail, rcpt, rset, quit}, .end = end}) == "quit-alone suspicion");
        CHECK(found({.verbs = {mail, rcpt, data}, .end = end}) == "data-alone suspicion");
        CHECK(found({.verbs = {mail, rcpt, data}, .codes = {250, 250}, .end = end}) == "data-alone suspicion");
        CHECK(found({.verbs = {mail, rcpt, data}, .codes = {250}, .end = end}) == "one-command-per-flight suspicion");
        CHECK(found({.verbs = {mail, rcpt}, .end = end}) == "one-command-per-flight suspicion");
        CHECK(found({.verbs = {ehlo}, .end = end}) == "helo-only suspicion");
        CHECK(found({.verbs = {bdat}, .end = end, .content = 9}) == "no-bdat suspicion");
    }
}

TEST_CASE("observe: where an answer explains the end, nothing is suspected; a loss that no group had part in neither")
{
    CHECK(found({.verbs = {mail, rcpt, data}, .codes = {421}, .end = StreamEnd::end}).empty());
    CHECK(found({.verbs = {mail, rcpt, rcpt}, .codes = {250, 550}, .end = StreamEnd::end}).empty());       // one bad recipient ends the session
    CHECK(found({.verbs = {mail}, .end = StreamEnd::end}).empty());
    CHECK(found({.verbs = {dot}, .end = StreamEnd::timeout, .content = 9}).empty());
    CHECK(found({.verbs = {rset, quit}, .end = StreamEnd::end}).empty());                                  // it said goodbye its way
    CHECK(found({.verbs = {mail, rcpt, data}, .codes = {250}, .end = StreamEnd::ours}).empty());
}

TEST_CASE("observe: 500 to the second of a group, 354 to RCPT, and words about pipelining are signatures")
{
    CHECK(found({.verbs = {mail, rcpt, data}, .codes = {250, 500, 503}}) == "one-command-per-flight signature");
    CHECK(found({.verbs = {mail, rcpt, data}, .codes = {250, 354}}) == "one-command-per-flight signature");
    CHECK(found({.verbs = {mail, rcpt, data}, .codes = {554}, .says_pipelining = true}) == "one-command-per-flight signature");
    CHECK(found({.verbs = {mail, rcpt}, .codes = {500, 503}}) == "one-command-per-flight worked");  // the first is refused as it would be alone
    CHECK(speaks_of_pipelining("503 5.5.0 improper use of SMTP command PIPELINING"));
}

TEST_CASE("observe: an announced keyword that is refused is a signature, and the parameter that is named is blamed")
{
    CHECK(found({.verbs = {bdat}, .codes = {502}, .content = 10}) == "no-bdat signature");
    CHECK(found({.verbs = {bdat}, .codes = {550}, .content = 10}).empty());
    const auto both = static_cast<std::uint8_t>(static_cast<int>(Parameter::size) | static_cast<int>(Parameter::body));
    const auto one = observe(session({{.verbs = {mail}, .codes = {555}, .parameters = both}}));
    REQUIRE(one.sightings.size() == 1);
    CHECK(one.sightings[0].number == static_cast<std::uint8_t>(Parameter::size));
    const auto named = observe(session({{.verbs = {mail}, .codes = {501}, .parameters = both, .named = static_cast<std::uint8_t>(Parameter::body)}}));
    REQUIRE(named.sightings.size() == 1);
    CHECK(named.sightings[0].number == static_cast<std::uint8_t>(Parameter::body));
    CHECK(found({.verbs = {mail}, .codes = {501}, .parameters = both}).empty());  // may be the address
    CHECK(parameters_named("501 5.5.4 Unsupported option: SIZE=338") == static_cast<std::uint8_t>(Parameter::size));
}

TEST_CASE("observe: a session that went without the feature is counted for both sides")
{
    CHECK(found({.verbs = {mail}, .codes = {250}}, {Quirk::one_command_per_flight}) == "one-command-per-flight worked-without");
    CHECK(found({.verbs = {mail}, .end = StreamEnd::timeout}, {Quirk::one_command_per_flight}) == "one-command-per-flight failed-without");
    CHECK(found({.verbs = {data}, .codes = {354}}, {Quirk::data_alone}) == "data-alone worked-without");
    CHECK(found({.verbs = {quit}, .codes = {221}}, {Quirk::quit_alone}) == "quit-alone worked-without");
    CHECK(found({.verbs = {helo}, .codes = {250}}, {Quirk::helo_only}) == "helo-only worked-without");
    Quirks big;
    big.add_no_bdat_over(100);
    CHECK(found({.verbs = {dot}, .codes = {250}, .content = 200}, big) == "no-bdat worked-without");
    CHECK(found({.verbs = {mail}, .codes = {250}}).empty());  // it never announced PIPELINING
}

TEST_CASE("observe: RSET that is refused, or answered 421, speaks against it")
{
    CHECK(found({.verbs = {rset, mail, rcpt}, .codes = {503, 250, 250}}) == "no-rset signature, one-command-per-flight worked");
    CHECK(found({.verbs = {rset, mail, rcpt}, .codes = {421}, .end = StreamEnd::end}) == "no-rset suspicion");
    CHECK(found({.verbs = {rset, quit}, .codes = {250, 221}}) == "quit-alone worked, no-rset worked");
    CHECK(found({.verbs = {rset, quit}, .codes = {502, 221}}) == "quit-alone worked, no-rset signature");
}

TEST_CASE("observe: a peer that leaves when the next mail begins shows its limit of mails; 452 and 421 show those of recipients and errors")
{
    CHECK(observe(session({{.verbs = {mail, rcpt}, .end = StreamEnd::end}}, {}, 20)).ended_after == 20);
    CHECK(observe(session({{.verbs = {dot, mail, rcpt, data}, .codes = {250, 421}}}, {}, 20)).ended_after == 20);
    CHECK(observe(session({{.verbs = {mail, rcpt}, .codes = {250}, .end = StreamEnd::end}}, {}, 20)).ended_after == 0);
    CHECK(observe(session({{.verbs = {mail, rcpt}, .end = StreamEnd::end}})).ended_after == 0);
    CHECK(found({.verbs = {mail, rcpt}, .end = StreamEnd::end}, {}, 20).empty());
    CHECK(observe(session({{.verbs = {mail, rcpt, rcpt, rcpt, rcpt}, .codes = {250, 250, 250, 452, 452}}})).recipients == 2);
    CHECK(observe(session({{.verbs = {mail, rcpt, rcpt, rcpt, rcpt}, .codes = {250, 250, 452, 250, 452}}})).recipients == 0);
    CHECK(observe(session({{.verbs = {mail, rcpt, rcpt, rcpt}, .codes = {250, 550, 550, 421}}})).errors == 2);
    Evidence counted = session({{.verbs = {rcpt}, .codes = {550}}});
    counted.errors = 20;
    counted.errors_told = speaks_of_errors("421 4.7.0 mx.test Error: Too many errors");
    CHECK(observe(counted).errors == 20);
    CHECK(observe(counted).errors_told);
    CHECK_FALSE(speaks_of_errors("421 4.3.2 Service shutting down"));
}

TEST_CASE("observe: a 452 that says it is the number of recipients of one mail is told by one; a full mailbox, a time or another domain is not meant")
{
    CHECK(speaks_of_recipient_limit("4.5.3", "452 4.5.3 Error: too many recipients"));
    CHECK(speaks_of_recipient_limit("4.0.0", "452 Too many recipients"));
    CHECK(speaks_of_recipient_limit("4.5.3", "452 4.5.3 Recipient limit exceeded"));
    CHECK(speaks_of_recipient_limit("4.5.3", "452 4.5.3 Maximum number of recipients reached"));
    CHECK_FALSE(
        speaks_of_recipient_limit("4.5.3", "452 4.5.3 Domain policy size per transaction exceeded, please try this recipient in a separate one"));
    CHECK_FALSE(speaks_of_recipient_limit("4.7.1", "452 4.7.1 too many recipients from your address"));
    CHECK_FALSE(speaks_of_recipient_limit("4.5.3", "452 4.5.3 Too many recipients this hour"));
    CHECK_FALSE(speaks_of_recipient_limit("4.5.3", "452 4.5.3 Too many recipients, your daily quota is used up"));
    CHECK_FALSE(speaks_of_recipient_limit("4.5.3", "452 4.5.3 Too many recipients: connection rate limit"));
    CHECK_FALSE(speaks_of_recipient_limit("4.2.2", "452 4.2.2 Mailbox full"));
    CHECK_FALSE(speaks_of_recipient_limit("4.5.3", "452 4.5.3 no"));
    const auto seen = [](std::vector<std::uint16_t> codes, std::uint16_t said) {
        std::vector<Verb> verbs(codes.size(), rcpt);
        verbs.front() = mail;
        return observe(session({{.verbs = verbs, .codes = std::move(codes), .say_too_many = said}}));
    };
    CHECK(seen({250, 250, 250, 452}, 1).recipients == 2);
    CHECK(seen({250, 250, 250, 452}, 1).recipients_told);
    CHECK(seen({250, 250, 250, 452}, 0).recipients == 0);           // one full mailbox
    CHECK(seen({250, 250, 452, 452}, 2).recipients_told);
    CHECK(seen({250, 250, 452, 452}, 1).recipients == 1);           // a full mailbox, and then the limit: one of them is beyond the first
    CHECK_FALSE(seen({250, 250, 452, 452}, 1).recipients_told);
    CHECK(seen({250, 250, 452, 250}, 1).recipients == 0);           // it took another all the same
    CHECK(seen({250, 452, 452}, 2).recipients == 0);                // none was taken: no mail could be said at all
}

TEST_CASE("observe: whether the octets of a refused BDAT were discarded is seen in what comes next, in number and in kind")
{
    const Exchange refused{.verbs = {bdat}, .codes = {552}, .content = 100};
    CHECK(observe(session({refused, {.verbs = {rset, quit}, .codes = {250, 221}}})).discards_bdat == true);
    CHECK(observe(session({refused, {.verbs = {rset, mail, rcpt}, .codes = {250, 250, 250}}})).discards_bdat == true);
    CHECK(observe(session({refused, {.verbs = {rset, quit}, .codes = {500, 500}}})).discards_bdat == false);
    CHECK(observe(session({refused, {.verbs = {rset, quit}, .codes = {250, 250}}})).discards_bdat == false);  // a RSET out of the body was obeyed
    CHECK(observe(session({refused, {.verbs = {rset, mail, rcpt}, .codes = {250, 250, 250}, .surplus = true}})).discards_bdat == false);
    CHECK(!observe(session({refused, {.verbs = {rset, quit}, .codes = {221}}})).discards_bdat.has_value());
    CHECK(!observe(session({refused})).discards_bdat.has_value());
    CHECK(!observe(session({{.verbs = {bdat}, .codes = {250}, .content = 100}, {.verbs = {rset, quit}, .codes = {250, 221}}}))
               .discards_bdat.has_value());
}

TEST_CASE("observe: one session counts once for each side of a quirk, and its failure hides its successes")
{
    CHECK(found(session({{.verbs = {mail, rcpt}, .codes = {250, 250}},
                         {.verbs = {mail, rcpt}, .codes = {250, 250}},
                         {.verbs = {mail, rcpt}, .end = StreamEnd::reset}})) == "one-command-per-flight suspicion");
}
