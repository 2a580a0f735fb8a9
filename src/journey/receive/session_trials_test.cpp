// What restrictions behind warn_if_reject come to, told for each command: who would have been refused, and who not.
#include "receive/testing.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

using namespace posthorn;
using namespace posthorn::receive;
using namespace posthorn::receive::testing;
using handoff::TrialSeen;

namespace {

struct HeardTrials final : handoff::TrialListener {
    std::vector<TrialSeen> seen;
    void tell(TrialSeen one) override { seen.push_back(std::move(one)); }
    /// "passed TRIED", "refused TRIED: REASON"
    std::vector<std::string> texts() const
    {
        std::vector<std::string> all;
        for (const TrialSeen& one : seen) {
            const std::string_view outcome = one.outcome() == TrialSeen::PASSED    ? "passed"
                                             : one.outcome() == TrialSeen::REFUSED ? "refused"
                                             : one.outcome() == TrialSeen::UNKNOWN ? "unknown"
                                                                                   : "unheld";
            all.push_back(fmt::format("{} {}{}{}", outcome, one.tried(), one.reason().empty() ? "" : ": ", one.reason()));
        }
        return all;
    }
};

struct TrialHouse {
    explicit TrialHouse(std::vector<std::pair<std::string, std::string>> written) : house(options_of(std::move(written))) { house.trials = &heard; }
    HeardTrials heard;
    House house;
};

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE(
    "trials: a restriction behind warn_if_reject refuses nobody, its log line is as ever, and what it would have done is told with its argument")
{
    TrialHouse on{{{"smtpd_recipient_restrictions",
                    "warn_if_reject check_sender_access inline:{b.test=REJECT}, warn_if_reject reject_non_fqdn_sender, reject_unauth_destination"}}};
    Talk talk(on.house);
    talk("EHLO x");
    CHECK(talk("MAIL FROM:<a@b.test>").starts_with("250 "));
    CHECK(talk("RCPT TO:<user@example.test>") == "250 2.1.5 Ok\r\n");
    CHECK(on.heard.texts() ==
          Texts{"refused check_sender_access inline:{b.test=REJECT}: 554 5.7.1 <a@b.test>: Sender address rejected: Access denied",
                "passed reject_non_fqdn_sender"});
    const TrialSeen& seen = on.heard.seen.at(0);
    CHECK_FALSE(seen.out());
    CHECK(seen.count() == 1);
    CHECK(seen.whom() == "client.test");
    CHECK(seen.host() == "192.0.2.1");
    CHECK(seen.sample().peer() == "client.test[192.0.2.1]");
    CHECK(seen.sample().sender() == "a@b.test");
    CHECK(seen.sample().has_sender());
    CHECK(seen.sample().recipient() == "user@example.test");
    CHECK(seen.sample().time() == on.house.clock.wall().time_since_epoch().count());
    CHECK(on.house.whole_log().find(
              "NOQUEUE: reject_warning: RCPT from client.test[192.0.2.1]: 554 5.7.1 <a@b.test>: Sender address rejected: Access denied; "
              "from=<a@b.test> to=<user@example.test> proto=ESMTP helo=<x>\n") != std::string::npos);
}

TEST_CASE("trials: what refuses by itself is none, nor what stands behind another restriction")
{
    TrialHouse on{{{"smtpd_recipient_restrictions", "warn_if_reject reject_non_fqdn_sender, reject"}}};
    Talk talk(on.house);
    talk("EHLO x");
    talk("MAIL FROM:<a@b.test>");
    CHECK(talk("RCPT TO:<user@example.test>").starts_with("554 "));
    CHECK(on.heard.texts() == Texts{"passed reject_non_fqdn_sender"});
}

TEST_CASE("trials: each list has its own, once for each command")
{
    TrialHouse on{{{"smtpd_client_restrictions", "warn_if_reject reject"},
                   {"smtpd_helo_restrictions", "warn_if_reject reject_non_fqdn_helo_hostname"},
                   {"smtpd_sender_restrictions", "warn_if_reject defer"},
                   {"smtpd_relay_restrictions", "warn_if_reject reject_non_fqdn_recipient, reject_unauth_destination"},
                   {"smtpd_data_restrictions", "warn_if_reject reject_multi_recipient_bounce"},
                   {"smtpd_end_of_data_restrictions", "warn_if_reject reject"}}};
    Talk talk(on.house);
    talk("EHLO x");
    talk("MAIL FROM:<a@b.test>");
    CHECK(talk("RCPT TO:<user@example.test>").starts_with("250 "));
    CHECK(on.heard.texts() == Texts{"refused reject: 554 5.7.1 <client.test[192.0.2.1]>: Client host rejected: Access denied",
                                    "refused reject_non_fqdn_helo_hostname: 504 5.5.2 <x>: Helo command rejected: need fully-qualified hostname",
                                    "refused defer: 450 4.3.2 <a@b.test>: Sender address rejected: Try again later",
                                    "passed reject_non_fqdn_recipient"});
    on.heard.seen.clear();
    CHECK(talk("DATA").starts_with("354 "));
    CHECK(talk("Subject: x\r\n\r\nx\r\n.").starts_with("250 "));
    CHECK(on.heard.texts() ==
          Texts{"passed reject_multi_recipient_bounce", "refused reject: 554 5.7.1 <END-OF-MESSAGE>: End-of-data rejected: Access denied"});
    CHECK_FALSE(on.heard.seen.back().sample().queue_id().empty());
}

TEST_CASE("trials: a class has one verdict, by its first member that would refuse; soft_bounce does not soften it")
{
    TrialHouse on{{{"smtpd_restriction_classes", "careful"},
                   {"careful", "reject_non_fqdn_sender, reject_non_fqdn_recipient, reject"},
                   {"soft_bounce", "yes"},
                   {"smtpd_recipient_restrictions", "warn_if_reject careful, reject_unauth_destination"}}};
    Talk talk(on.house);
    talk("EHLO x");
    talk("MAIL FROM:<nodot@x>");
    CHECK(talk("RCPT TO:<user@example.test>").starts_with("250 "));
    CHECK(on.heard.texts() ==
          Texts{"refused careful: reject_non_fqdn_sender: 504 5.5.2 <nodot@x>: Sender address rejected: need fully-qualified address"});
    CHECK(on.house.whole_log().find("reject_warning: RCPT from client.test[192.0.2.1]: 404 4.5.2 <nodot@x>") != std::string::npos);
}

TEST_CASE("trials: where nobody answers it is not known, neither refused nor passed")
{
    TrialHouse on{
        {{"smtpd_recipient_restrictions",
          "warn_if_reject reject_rbl_client broken.test, warn_if_reject reject_unknown_sender_domain, warn_if_reject reject_unverified_recipient, "
          "reject_unauth_destination"}}};
    on.house.names.zone[{"1.2.0.192.broken.test", dns::Type::a}] = dns::Answer{};
    Talk talk(on.house);
    talk("EHLO x");
    talk("MAIL FROM:<a@slow.test>");
    CHECK(talk("RCPT TO:<user@example.test>").starts_with("250 "));
    CHECK(on.heard.texts() ==
          Texts{"unknown reject_rbl_client broken.test: who was asked had no answer",
                "unknown reject_unknown_sender_domain: 450 4.1.8 <a@slow.test>: Sender address rejected: Domain not found",
                "unknown reject_unverified_recipient: 450 4.1.1 <user@example.test>: Recipient address rejected: unverified address: Address "
                "verification in progress"});
}
