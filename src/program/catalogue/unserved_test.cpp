#include "catalogue/unserved.hpp"

#include "catalogue/catalogue.hpp"
#include "config/expand.hpp"
#include "config/known.hpp"
#include "config/main_cf.hpp"

#include <doctest/doctest.h>

#include <algorithm>

using namespace posthorn;

namespace {
std::vector<std::string> said(std::vector<config::Assignment> settings, std::vector<config::Assignment> master_cf = {}, bool by_design = false)
{
    config::MainCf file;
    file.path = "/etc/x/main.cf";
    int line = 0;
    for (config::Assignment& one : settings)
        one.line = ++line;
    file.assignments = std::move(settings);
    const config::Snapshot snapshot(config::Site{}, "/etc/x", file, {});
    const std::vector<std::string> transports{"smtp", "slow"};
    return catalogue::unserved(snapshot, transports, master_cf, by_design);
}
}  // namespace

TEST_CASE("unserved: what a default refers to is acted on by that")
{
    for (const auto list : catalogue::all_parameters())
        for (const config::ParamInfo& info : list)
            config::names_in(info.initial, [&](std::string_view name) {
                CAPTURE(info.name);
                CAPTURE(name);
                if (config::known(name)) {
                    CHECK(catalogue::about(name).standing != catalogue::Standing::unserved);
                    CHECK(catalogue::about(name).standing != catalogue::Standing::by_design);
                }
            });
}

TEST_CASE("unserved: what nothing acts on is named with its place and what does not happen")
{
    CHECK(said({{"relayhost", "x"}, {"smtp_tls_enable_rpk", "yes"}, {"hash_queue_depth", "2"}, {"smtpd_tls_enable_rpk", "yes"}}) ==
          std::vector<std::string>{
              "/etc/x/main.cf, line 2: smtp_tls_enable_rpk is accepted but not acted on yet: raw public keys need OpenSSL 3.2, and are not used",
              "/etc/x/main.cf, line 4: smtpd_tls_enable_rpk is accepted but not acted on yet: raw public keys need OpenSSL 3.2, and are not used"});
    CHECK(said({}, {{"smtp_tls_enable_rpk", "yes", 12}}) ==
          std::vector<std::string>{
              "/etc/x/master.cf, line 12: smtp_tls_enable_rpk is accepted but not acted on yet: raw public keys need OpenSSL 3.2, and are not used"});
}

TEST_CASE("unserved: what is decided otherwise here is told apart, and in another tone")
{
    CHECK(said({{"hash_queue_depth", "2"}, {"smtp_tls_enable_rpk", "yes"}, {"slow_delivery_slot_cost", "3"}}, {{"max_idle", "10s", 7}}, true) ==
          std::vector<std::string>{
              "/etc/x/main.cf, line 1: hash_queue_depth decides nothing here: it is for folders of queue files; here the queue is one database",
              "/etc/x/master.cf, line 7: max_idle decides nothing here: a process that has nothing to do waits, and costs next to nothing"});
    CHECK(said({{"hash_queue_depth", "1"}}, {}, true).empty());
}

TEST_CASE("unserved: defaults, empty values, what is read, families, LMTP twins, names that are referred to and names nobody knows say nothing")
{
    CHECK(said({{"frozen_delivered_to", "yes"},
                {"smtpd_milters", ""},
                {"alias_maps", "hash:/etc/aliases"},
                {"home_mailbox", "Maildir/"},
                {"syslog_name", "x"},
                {"readme_directory", "no"},
                {"nonsense", "1"},
                {"smtp_connect_timeout", "10s"},
                {"lmtp_connect_timeout", "10s"},
                {"slow_destination_rate_delay", "1s"},
                {"myhostname", "a.test"}}) == std::vector<std::string>{});
}

TEST_CASE("unserved: what is declared so that it is judged, and changes nothing, is named as well")
{
    CHECK(said({{"debug_peer_list", "a.test"}, {"debug_peer_level", "3"}}, {}, true) ==
          std::vector<std::string>{"/etc/x/main.cf, line 2: debug_peer_level decides nothing here: every level logs all that is said and heard"});
    CHECK(said({{"debug_peer_level", "2"}}, {}, true) == std::vector<std::string>{});
    CHECK(catalogue::about("debug_peer_level").standing == catalogue::Standing::by_design);
}

TEST_CASE("unserved: an LMTP twin has the consequence of its SMTP parameter, and the longest beginning counts")
{
    CHECK(said({{"lmtp_tls_dkey_file", "x"}, {"local_command_shell", "/bin/x"}, {"smtp_tls_dcert_file", "x"}}, {}, true) ==
          std::vector<std::string>{"/etc/x/main.cf, line 1: lmtp_tls_dkey_file decides nothing here: DSA certificates are not used",
                                   "/etc/x/main.cf, line 3: smtp_tls_dcert_file decides nothing here: DSA certificates are not used"});
    CHECK(said({{"lmtp_tls_enable_rpk", "yes"}}).size() == 1);
    CHECK(catalogue::about("postlogd_watchdog_timeout").text != catalogue::about("postscreen_watchdog_timeout").text);
}

TEST_CASE("unserved: every parameter has its standing, and what is acted on is described")
{
    CHECK(catalogue::about("smtp_connect_timeout").standing == catalogue::Standing::acted_on);
    CHECK(catalogue::about("lmtp_connect_timeout").text == catalogue::about("smtp_connect_timeout").text);
    CHECK(catalogue::about("relay_destination_rate_delay").standing == catalogue::Standing::acted_on);
    CHECK(catalogue::about("disable_dns_lookups").instead == "smtp_dns_support_level");
    CHECK(catalogue::about("readme_directory").standing == catalogue::Standing::informative);
    CHECK(catalogue::about("smtpd_tls_enable_rpk").standing == catalogue::Standing::unserved);
    CHECK(catalogue::about("local_delivery_slot_loan").standing == catalogue::Standing::by_design);
    CHECK(catalogue::about("smtp_recipient_limit").standing == catalogue::Standing::by_design);
    CHECK(catalogue::about("smtpd_recipient_limit").standing == catalogue::Standing::acted_on);
    for (const config::KnownParameter& one : config::known_parameters()) {
        CAPTURE(one.name);
        const catalogue::About about = catalogue::about(one.name);
        CHECK(about.text.size() > 10);
        CHECK(about.text.find("changes nothing") == std::string_view::npos);
        if (about.standing == catalogue::Standing::by_design || about.standing == catalogue::Standing::unserved)
            CHECK_FALSE(about.text.ends_with('.'));                  // it stands within a sentence
    }
    for (const char* read : {"myhostname", "multi_instance_name", "syslog_name"}) {
        CHECK(catalogue::about(read).standing == catalogue::Standing::acted_on);
        CHECK(catalogue::about(read).text.size() > 10);
    }
}
