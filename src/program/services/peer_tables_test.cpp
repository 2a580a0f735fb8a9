#include "peers/bounce_classes.hpp"
#include "tables/testing.hpp"

#include <doctest/doctest.h>

using namespace posthorn;

TEST_CASE("shipped bounce classes: the words by which receivers refuse")
{
    tables::TestSite site;
    const std::string table = peers::with_shipped_classes("shipped");
    const std::pair<const char*, const char*> replies[] = {
        {"550 5.1.1 <u@there.test>: Recipient address rejected: User unknown in virtual mailbox table", "InvalidRecipient"},
        {"550 5.1.1 The email account that you tried to reach does not exist. Please try double-checking", "InvalidRecipient"},
        {"550 5.5.0 Requested action not taken: mailbox unavailable or access denied", "InvalidRecipient"},
        {"554 delivery error: dd This user doesn't have an example.com account (u@there.test) [0]", "InvalidRecipient"},
        {"550 No such user here", "InvalidRecipient"},
        {"550 sorry, no mailbox here by that name", "InvalidRecipient"},
        {"450 4.1.1 <u@there.test>: Recipient address rejected: unverified address", "none"},
        {"552 5.2.2 The recipient's inbox is out of storage space", "QuotaIssues"},
        {"452 4.2.2 Mailbox full", "QuotaIssues"},
        {"550 mailbox of u is over quota", "QuotaIssues"},
        {"550 5.2.1 The email account that you tried to reach is inactive", "InactiveMailbox"},
        {"550 account has been disabled", "InactiveMailbox"},
        {"554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org", "SpamBlock"},
        {"550 5.7.606 Access denied, banned sending IP [192.0.2.1]", "SpamBlock"},
        {"550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent. Part of their network is on our block list (S3140).", "SpamBlock"},
        {"421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume or user complaints", "SpamBlock"},
        {"550 5.7.1 Our system has detected that this message is likely suspicious due to the very low reputation of the sending domain",
         "SpamBlock"},
        {"554 5.7.1 Message contains a virus (Eicar-Test-Signature)", "VirusContent"},
        {"550 5.7.1 This message is likely unsolicited mail", "SpamContent"},
        {"554 rejected due to spam content", "SpamContent"},
        {"552 5.7.0 This message was blocked because its content presents a potential security issue: attachment is not allowed", "ContentRelated"},
        {"550 5.7.26 This mail has been blocked because the sender is unauthenticated", "AuthenticationFailed"},
        {"550 5.7.1 Email rejected per DMARC policy: fails", "AuthenticationFailed"},
        {"550 5.7.1 SPF check failed: 192.0.2.1 is not allowed to send mail", "AuthenticationFailed"},
        {"550 5.7.25 The IP address sending this message does not have a PTR record", "BadConfiguration"},
        {"554 5.7.1 <u@there.test>: Relay access denied", "RelayDenied"},
        {"550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain", "RelayDenied"},
        {"550 5.1.8 <a@b.test>: Sender address rejected: Domain not found", "InvalidSender"},
        {"556 5.1.10 Recipient address has null MX", "BadDomain"},
        {"451 4.7.1 Greylisting in action, please come back later", "TransientFailure"},
        {"450 4.2.1 The user you are trying to contact is receiving mail too quickly; rate limited", "TransientFailure"},
        {"452 4.5.3 Error: too many recipients", "TransientFailure"},
        {"550 5.4.5 Daily limit reached: too many messages", "PolicyRelated"},
        {"451 4.3.0 Temporary failure", "none"},
        {"550 5.7.1 antispam.example.net wishes you a good day", "none"},
        {"451 4.4.1 connect to mx.there.test[192.0.2.1]:25: Connection refused", "none"},
    };
    for (const auto& [reply, expected] : replies) {
        CAPTURE(reply);
        CHECK(site.get(table, reply) == std::string(expected));
    }
}
