#include "send/options.hpp"

#include "config/snapshot.hpp"
#include "send/params.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::send;

namespace {

config::Snapshot configured(std::vector<config::Assignment> assignments = {})
{
    static constexpr std::span<const config::ParamInfo> own[] = {params};
    config::Site site;
    site.host_name = "mx.example.test";
    return config::Snapshot(site, "/etc/postfix", own).with(assignments, "test");
}

config::Assignment set(std::string name, std::string value)
{
    config::Assignment made;
    made.name = std::move(name);
    made.value = std::move(value);
    return made;
}

}  // namespace

TEST_CASE("options: the defaults are Postfix's")
{
    const Options made = Options::from(configured());
    CHECK(made.timeouts.connect == seconds(30));
    CHECK(made.timeouts.data_done == seconds(600));
    CHECK(made.timeouts.rset == seconds(20));
    CHECK(made.port == 25);
    CHECK(made.address_limit == 5);
    CHECK(made.session_limit == 2);
    CHECK(made.keep_idle == seconds(2));
    CHECK(made.skip_quit_response);
    CHECK(made.helo_name == made.my_name);
    CHECK(made.pix_disable_esmtp);
    CHECK(made.pix_delay_dot);
    CHECK(!made.quit_in_group);
    const Options lmtp = Options::from(configured(), "lmtp");
    CHECK(lmtp.lmtp);
    CHECK(lmtp.port == 24);
    CHECK(!lmtp.skip_quit_response);
    CHECK(lmtp.timeouts.connect == seconds(0));
    CHECK(!lmtp.mx_lookups);
    CHECK(!lmtp.assume_final);
    CHECK(Options::from(configured({set("lmtp_assume_final", "yes")}), "lmtp").assume_final);
    CHECK(!Options::from(configured({set("lmtp_assume_final", "yes")}), "smtp").assume_final);
}

TEST_CASE("options: what is written counts, the LMTP twin on its own")
{
    const auto snapshot =
        configured({set("smtp_rcpt_timeout", "7s"), set("lmtp_rcpt_timeout", "8s"), set("smtp_tls_security_level", "encrypt"),
                    set("smtp_discard_ehlo_keywords", "silent-discard, pipelining"), set("smtp_bind_address", "192.0.2.9"),
                    set("inet_protocols", "ipv4"), set("smtp_tcp_port", "submission"), set("smtp_quit_in_group", "yes"),
                    set("smtp_fallback_relay", "[a.test]:26, b.test"), set("disable_dns_lookups", "yes"), set("relayhost", "[isp.test]:587")});
    const Options made = Options::from(snapshot);
    CHECK(made.timeouts.rcpt == seconds(7));
    CHECK(Options::from(snapshot, "lmtp").timeouts.rcpt == seconds(8));
    CHECK(made.tls_level == TlsLevel::encrypt);
    CHECK(Options::from(snapshot, "lmtp").tls_level == TlsLevel::none);
    CHECK(made.discard.silent());
    CHECK(made.discard.keywords.has(smtp::Keyword::pipelining));
    CHECK(made.bind4->text() == "192.0.2.9");
    CHECK(!made.ipv6);
    CHECK(made.port == 587);
    CHECK(made.quit_in_group);
    CHECK(made.fallback_relays == std::vector<std::string>{"[a.test]:26", "b.test"});
    CHECK(!made.mx_lookups);
    CHECK(made.relayhost == "[isp.test]:587");
    CHECK(Options::from(snapshot, "lmtp").relayhost.empty());
}

TEST_CASE("options: authentication is as careful as Postfix's, and half of it is refused")
{
    const Sasl unset = Options::from(configured()).sasl;
    CHECK(!unset.enable);
    CHECK(unset.soft_bounce);
    CHECK(unset.clear == sasl::Properties{sasl::Property::no_plaintext, sasl::Property::no_anonymous});
    CHECK(unset.verified == unset.clear);
    const auto snapshot = configured({set("smtp_sasl_auth_enable", "yes"), set("smtp_sasl_password_maps", "inline:{x=a:b}"),
                                      set("smtp_sasl_tls_security_options", "noanonymous"), set("smtp_sasl_auth_cache_name", "proxy:btree:/x"),
                                      set("smtp_sasl_password_result_delimiter", "|"), set("smtp_sender_dependent_authentication", "yes")});
    const Sasl made = Options::from(snapshot).sasl;
    CHECK(made.enable);
    CHECK(made.by_sender);
    CHECK(made.tls == sasl::Properties{sasl::Property::no_anonymous});
    CHECK(made.verified == made.tls);
    CHECK(made.clear == unset.clear);
    CHECK(made.delimiter == '|');
    CHECK(made.remember_failures);
    CHECK(!Options::from(snapshot, "lmtp").sasl.enable);
    const auto refusal = [](std::vector<config::Assignment> written) {
        try {
            (void)Options::from(configured(std::move(written)));
        } catch (const config::BadValue& error) {
            return std::string(error.what());
        }
        return std::string();
    };
    CHECK(refusal({set("smtp_sasl_auth_enable", "yes")}) ==
          "smtp_sasl_auth_enable = yes needs a table of passwords: smtp_sasl_password_maps is empty");
    CHECK(refusal({set("smtp_sasl_security_options", "noplain")}) == "smtp_sasl_security_options: unknown security option \"noplain\"");
    CHECK(refusal({set("smtp_sasl_auth_enable", "yes"), set("smtp_sasl_password_maps", "inline:{x=a:b}"), set("smtp_sasl_type", "dovecot")}) ==
          "bad value of smtp_sasl_type: dovecot");
}

TEST_CASE("options: levels of TLS, the old words for them, and what they leave open; the LMTP twin has defaults of its own")
{
    for (const auto& [word, level] : {std::pair{"dane", TlsLevel::dane},
                                      {"dane-only", TlsLevel::dane_only},
                                      {"Verify", TlsLevel::verify},
                                      {"secure", TlsLevel::secure},
                                      {"fingerprint", TlsLevel::fingerprint},
                                      {"none", TlsLevel::none}})
        CHECK(Options::from(configured({set("smtp_tls_security_level", word)})).tls_level == level);
    const auto old = [](std::vector<config::Assignment> more) {
        more.push_back(set("smtp_tls_security_level", ""));
        return Options::from(configured(std::move(more))).tls_level;
    };
    CHECK(old({}) == TlsLevel::none);
    CHECK(old({set("smtp_use_tls", "yes")}) == TlsLevel::may);
    CHECK(old({set("smtp_enforce_tls", "yes")}) == TlsLevel::verify);
    CHECK(old({set("smtp_enforce_tls", "yes"), set("smtp_tls_enforce_peername", "no")}) == TlsLevel::encrypt);

    using Words = std::vector<std::string>;
    const Options plain = Options::from(configured());
    CHECK(plain.tls.verify_names == Words{"hostname"});
    CHECK(plain.tls.secure_names == Words{"nexthop", "dot-nexthop"});
    CHECK(Options::from(configured(), "lmtp").tls.secure_names == Words{"nexthop"});
    CHECK(plain.tls.insecure_mx == TlsLevel::dane);
    CHECK(plain.tls.no_dane == "configured with dnssec lookups disabled");
    const Options made = Options::from(configured({set("smtp_tls_secure_cert_match", "hostname:.example.test"),
                                                   set("smtp_dns_support_level", "dnssec"), set("smtp_tls_fingerprint_cert_match", "AA:BB|CC:DD, EE"),
                                                   set("smtp_tls_dane_insecure_mx_policy", "encrypt"), set("smtp_tls_trust_anchor_file", "/a /b")}));
    CHECK(made.tls.secure_names == Words{"hostname", ".example.test"});
    CHECK(made.tls.fingerprints == Words{"AA:BB", "CC:DD", "EE"});
    CHECK(made.tls.insecure_mx == TlsLevel::encrypt);
    CHECK(made.tls.anchor_files == Words{"/a", "/b"});
    CHECK(made.tls.no_dane.empty());
    CHECK(Options::from(configured({set("smtp_dns_support_level", "dnssec"), set("smtp_host_lookup", "native")})).tls.no_dane != "");
    CHECK(Options::from(configured({set("smtp_dns_support_level", "dnssec"), set("ignore_mx_lookup_error", "yes")})).tls.no_dane ==
          "configured with MX lookup errors ignored");
}

TEST_CASE("options: per-site tables of old are not passed over: without a policy table beside them nothing is sent by weaker rules")
{
    CHECK_THROWS_WITH_AS((void)Options::from(configured({set("smtp_tls_per_site", "hash:/x")})),
                         "smtp_tls_per_site is not served: write its entries as smtp_tls_policy_maps (docs/from-postfix.md)", config::BadValue);
    CHECK_NOTHROW((void)Options::from(configured({set("smtp_tls_per_site", "hash:/x"), set("smtp_tls_policy_maps", "hash:/y")})));
}

TEST_CASE("options: a value that no check of the parameter refuses, but that means nothing, is named")
{
    for (const auto& [name, value] : {std::pair{"smtp_bind_address", "x"},
                                      {"smtp_tls_security_level", "mya"},
                                      {"smtp_tls_security_level", "half-dane"},
                                      {"smtp_tls_dane_insecure_mx_policy", "verify"},
                                      {"smtp_address_preference", "ipv5"},
                                      {"inet_protocols", "decnet"},
                                      {"smtp_tcp_port", "nosuch"},
                                      {"smtp_address_verify_target", "mail"},
                                      {"smtp_pix_workarounds", "magic"}}) {
        try {
            (void)Options::from(configured({set(name, value)}));
            FAIL_CHECK(std::string(name));
        } catch (const config::BadValue& error) {
            CHECK(std::string(error.what()) == std::string("bad value of ") + name + ": " + value);
        }
    }
}

TEST_CASE("options: a word of smtp_requiretls_policy that is none is named, for SMTP and LMTP each; tables are asked later")
{
    CHECK_NOTHROW((void)Options::from(configured({set("smtp_requiretls_policy", "hash:/x inline:{{a=b}} Opportunistic+STARTTLS, disable")})));
    CHECK_THROWS_WITH_AS((void)Options::from(configured({set("smtp_requiretls_policy", "hash:/x, enforced")})),
                         "bad value of smtp_requiretls_policy: enforced", config::BadValue);
    CHECK_THROWS_WITH_AS((void)Options::from(configured({set("lmtp_requiretls_policy", "may")}), "lmtp"), "bad value of lmtp_requiretls_policy: may",
                         config::BadValue);
    const Options made = Options::from(configured({set("requiretls_enable", "no"), set("requiretls_redact_dsn", "no")}));
    CHECK(!made.requiretls);
    CHECK(made.requiretls_in_reports);
    CHECK(Options::from(configured()).requiretls);
    CHECK(!Options::from(configured()).requiretls_in_reports);
}

TEST_CASE("options: deadlines per request and their rate, for SMTP and LMTP each; the old name counts where the new one is not set")
{
    CHECK_FALSE(Options::from(configured()).per_request_deadline);
    CHECK(Options::from(configured()).min_data_rate == 500);
    const auto snapshot =
        configured({set("smtp_per_record_deadline", "yes"), set("lmtp_per_request_deadline", "yes"), set("lmtp_min_data_rate", "9")});
    CHECK(Options::from(snapshot).per_request_deadline);
    CHECK(Options::from(snapshot).min_data_rate == 500);
    CHECK(Options::from(snapshot, "lmtp").per_request_deadline);
    CHECK(Options::from(snapshot, "lmtp").min_data_rate == 9);
    CHECK_FALSE(Options::from(configured({set("smtp_per_record_deadline", "yes")}), "lmtp").per_request_deadline);
}

TEST_CASE("options: use_srv_lookup is a list of services, in any case")
{
    const Options made = Options::from(configured({set("use_srv_lookup", "submission, Submissions"), set("allow_srv_lookup_fallback", "yes"),
                                                   set("ignore_srv_lookup_error", "yes"), set("smtp_tcp_port", "submission")}));
    CHECK(made.srv_services == std::vector<std::string>{"submission", "submissions"});
    CHECK(made.port_name == "submission");
    CHECK(made.allow_srv_fallback);
    CHECK(made.ignore_srv_error);
}
