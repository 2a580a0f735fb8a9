#include "tls/params.hpp"

#include <doctest/doctest.h>
#include <openssl/ssl.h>

using namespace posthorn;
using namespace posthorn::tls;

namespace {

config::Snapshot of(std::string_view main_cf)
{
    static constexpr std::span<const config::ParamInfo> rooms[] = {params};
    return config::Snapshot{{.host_name = "mail.test"}, "/etc/test", config::parse_main_cf(main_cf, "main.cf").value(), rooms};
}

}  // namespace

TEST_CASE("tls params: the settings of opportunistic and mandatory sessions are told apart, files pair up, LMTP has twins")
{
    const auto config = of(R"(
smtp_tls_cert_file = /cert.pem
smtp_tls_eccert_file = none
smtp_tls_mandatory_protocols = >=TLSv1.3
smtp_tls_exclude_ciphers = aNULL
smtp_tls_mandatory_exclude_ciphers = MD5
lmtp_tls_CAfile = /lmtp-ca.pem
smtpd_tls_chain_files = /a.pem, /b.pem
smtpd_tls_session_cache_timeout = 0
smtpd_tls_req_ccert = yes
tls_preempt_cipherlist = yes
)");
    const Options may = client_options(config, false);
    REQUIRE(may.certificates.size() == 1);
    CHECK(may.certificates[0].key == "/cert.pem");                    // where no key file is named, it is in the same file
    CHECK(may.protocols == ">=TLSv1");
    CHECK(may.exclude_ciphers == std::vector<std::string>{"aNULL"});
    const Options encrypt = client_options(config, true);
    CHECK(encrypt.protocols == ">=TLSv1.3");
    CHECK(encrypt.exclude_ciphers == std::vector<std::string>{"aNULL", "MD5"});
    CHECK(client_options(config, false, "lmtp").ca_file == "/lmtp-ca.pem");
    const Options server = server_options(config, true);
    CHECK(server.chain_files == std::vector<std::string>{"/a.pem", "/b.pem"});
    CHECK(server.ask_certificate);
    CHECK_FALSE(server_options(config, false).ask_certificate);       // nothing can be required of who need not use TLS
    CHECK(server.server_chooses);
    CHECK_FALSE(server.tickets);
    const auto bits = [](std::string_view line) { return option_bits(server_options(of(line), false)); };
    const std::uint64_t plain = bits("").value();
    CHECK((bits("tls_ssl_options = no_ticket, 0x40000000\n").value() & ~plain) == (0x40000000U | SSL_OP_NO_TICKET));
    CHECK((plain & ~bits("tls_disable_workarounds = CRYPTOPRO_TLSEXT_BUG:TLS_D5_BUG\n").value()) == SSL_OP_CRYPTOPRO_TLSEXT_BUG);
    CHECK(bits("tls_disable_workarounds = 0xFFFFFFFF\n").value() == 0);
    CHECK(bits("tls_ssl_options = NO_SUCH\n").error().what() == "tls_ssl_options: unknown name \"NO_SUCH\"");
    CHECK(bits("tls_disable_workarounds = 12\n").error().what() == "tls_disable_workarounds: unknown name \"12\"");
    CHECK_FALSE(bits("tls_ssl_options = 0xG\n"));
    CHECK_FALSE(bits("tls_ssl_options = 0x\n"));
    CHECK(log_level("1") == 1);
    CHECK(log_level("2,trace") == 2);
    CHECK(log_level("") == 0);
}
