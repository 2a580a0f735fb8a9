#include "commands/setting_text.hpp"

#include "catalogue/catalogue.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::commands;

namespace {

config::Snapshot of_text(std::string_view main_cf)
{
    return {config::Site{}, "/etc/postfix", *config::parse_main_cf(main_cf, "/etc/postfix/main.cf"), catalogue::all_parameters()};
}

struct Asking {
    explicit Asking(std::string_view main_cf, std::string_view lines = "")
        : written(of_text(main_cf)), master_cf(*config::parse_master_cf(lines, "/etc/postfix/master.cf"))
    {
    }
    std::string text(const std::string& name, const inquiry::InForce* in_force = nullptr) const
    {
        const SettingAsked asked{written, master_cf, in_force, "nothing: the mail system is down"};
        const auto found = setting(asked, name);
        return found ? setting_text(*found, asked) : "";
    }
    std::string json(const std::string& name, const inquiry::InForce* in_force = nullptr) const
    {
        const SettingAsked asked{written, master_cf, in_force, "down"};
        const auto found = setting(asked, name);
        return found ? setting_json(*found, asked) : "";
    }
    config::Snapshot written;
    config::MasterCf master_cf;
};

}  // namespace

TEST_CASE("setting: where it is written, what it comes to, which lines set it otherwise, what it is for")
{
    const Asking asking("mine = ours.test\nsmtp_helo_name = mail.$mine\n",
                        "smtp unix - - n - - smtp\nrelay unix - - n - - smtp\n  -o smtp_helo_name=relay.test\n");
    CHECK(asking.text("smtp_helo_name") == "smtp_helo_name = mail.$mine\n"
                                           "    written     /etc/postfix/main.cf, line 2\n"
                                           "    default     $myhostname\n"
                                           "    comes to    mail.ours.test\n"
                                           "    line        relay/unix = relay.test  (/etc/postfix/master.cf, line 2)\n"
                                           "    says        The name said in EHLO and HELO.\n"
                                           "    in force    nothing: the mail system is down\n");
    CHECK(asking.text("mine") == "mine = ours.test\n"
                                 "    written     /etc/postfix/main.cf, line 1\n"
                                 "    default     none: a name of your own\n"
                                 "    used by     smtp_helo_name\n"
                                 "    in force    nothing: the mail system is down\n");
    CHECK(asking.text("helper_warn_time").find("written     nowhere: the default\n") != std::string::npos);     // one of ours
    CHECK(asking.text("no_such_thing").empty());
}

TEST_CASE("setting: what decides nothing here says so, and what is here instead")
{
    const Asking asking("hash_queue_depth = 2\nsmtp_tls_enable_rpk = yes\ndisable_dns_lookups = yes\n");
    CHECK(asking.text("hash_queue_depth").find("    here        decides nothing: ") != std::string::npos);
    CHECK(asking.text("hash_queue_depth").find("says") == std::string::npos);
    CHECK(asking.text("disable_dns_lookups").find("    here        is obsolete; set smtp_dns_support_level\n") != std::string::npos);
    CHECK(asking.text("lmtp_connect_timeout").find("    says        ") != std::string::npos);
    CHECK(asking.text("relay_destination_rate_delay").find("    says        ") != std::string::npos);
}

TEST_CASE("setting: what is in force is another value until somebody reloads")
{
    const Asking asking("relay_domains = new.test\n");
    const inquiry::InForce old{
        .snapshot = of_text("relay_domains = old.test\nmine = x\n"), .lines = {}, .since = WallTime{std::chrono::hours{480'000}}};
    CHECK(asking.text("relay_domains", &old).find("    in force    old.test, since ") != std::string::npos);
    CHECK(asking.text("relay_domains", &old).ends_with(": `postfix reload` puts in force what is written\n"));
    CHECK(asking.text("myorigin", &old).find("    in force    as written, since ") != std::string::npos);
    CHECK(asking.json("relay_domains", &old).ends_with("\"in_force\": \"old.test\"}"));
    CHECK(asking.json("relay_domains").ends_with("\"in_force\": null}"));
    CHECK(asking.json("myorigin", &old).ends_with("\"in_force\": \"$myhostname\"}"));
    // Written as the default was: the value is the same one.
    const Asking same("myorigin = $myhostname\n");
    CHECK(same.text("myorigin", &old).find("in force    as written") != std::string::npos);
}

TEST_CASE("setting: a name that is nearly one is helped")
{
    const config::Snapshot snapshot = of_text("relay_doms_of_mine = x\n");
    const auto like = [&](std::string_view name) {
        const auto all = names_like(snapshot, name);
        return all.empty() ? "" : all.front();
    };
    CHECK(like("relay_domain") == "relay_domains");
    CHECK(like("smtp_tls_securty_level") == "smtp_tls_security_level");
    CHECK(like("relay_doms_of_mien") == "relay_doms_of_mine");
    CHECK(like("helper_warn") == "helper_warn_time");
    CHECK(like("what_is_this_supposed_to_be").empty());
    CHECK(names_like(snapshot, "timeout").size() == 5);
}
