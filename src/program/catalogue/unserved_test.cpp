#include "catalogue/unserved.hpp"

#include "config/main_cf.hpp"

#include <doctest/doctest.h>

#include <algorithm>

using namespace posthorn;

namespace {
std::vector<std::string> said(std::vector<config::Assignment> settings, std::vector<config::Assignment> master_cf = {})
{
    config::MainCf file;
    file.path = "/etc/x/main.cf";
    int line = 0;
    for (config::Assignment& one : settings)
        one.line = ++line;
    file.assignments = std::move(settings);
    const config::Snapshot snapshot(config::Site{}, "/etc/x", file, {});
    const std::vector<std::string> transports{"smtp", "slow"};
    return catalogue::unserved(snapshot, transports, master_cf);
}
}  // namespace

TEST_CASE("unserved: what nothing acts on is named with its place and what does not happen")
{
    CHECK(said({{"relayhost", "x"}, {"home_mailbox", "Maildir/"}, {"smtpd_milters", "inet:localhost:1"}}) ==
          std::vector<std::string>{"/etc/x/main.cf, line 2: home_mailbox is accepted but not acted on yet: mail for local mailboxes is deferred",
                                   "/etc/x/main.cf, line 3: smtpd_milters is accepted but not acted on yet: mail is not shown to Milters"});
    CHECK(said({}, {{"smtpd_milters", "inet:127.0.0.1:10", 12}}) ==
          std::vector<std::string>{"/etc/x/master.cf, line 12: smtpd_milters is accepted but not acted on yet: mail is not shown to Milters"});
}

TEST_CASE("unserved: defaults, empty values, what is read, families, LMTP twins, names that are referred to and names nobody knows say nothing")
{
    CHECK(said({{"biff", "yes"},
                {"home_mailbox", ""},
                {"alias_maps", ""},
                {"syslog_name", "x"},
                {"readme_directory", "no"},
                {"nonsense", "1"},
                {"smtp_connect_timeout", "10s"},
                {"lmtp_connect_timeout", "10s"},
                {"slow_destination_rate_delay", "1s"},
                {"myhostname", "a.test"}}) == std::vector<std::string>{});
}
