#include "tls/testing.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::tls;

TEST_CASE("options: protocol lists and cipher grades in Postfix's syntax; what is wrong is named")
{
    CHECK(parse_protocols(">=TLSv1.2")->least == 0x0303);
    CHECK(parse_protocols("<=tlsv1.2, >=TLSv1")->most == 0x0303);
    CHECK(parse_protocols("!SSLv2,!SSLv3:!TLSv1 !TLSv1.1")->without == (0x02000000U | 0x04000000U | 0x10000000U));
    CHECK(parse_protocols("TLSv1.2 TLSv1.3")->without == (0x02000000U | 0x04000000U | 0x10000000U));
    CHECK(parse_protocols("")->without == 0);
    for (const auto text : {"TLSv9", ">=", "!TLSv1.3, TLSv1.3", ">=TLSv1.3 <=TLSv1.2", ">=SSLv2", "!"})
        CHECK(parse_protocols(text).error().what() == "invalid TLS protocol list \"" + std::string(text) + "\"");
    Options options;
    options.ciphers = "high";
    options.exclude_ciphers = {"aNULL, MD5", "DES"};
    CHECK(cipher_list(options)->ends_with(":!aNULL:!MD5:!DES"));
    options.exclude_ciphers = {"!x"};
    CHECK(cipher_list(options).error().what() == "invalid TLS cipher exclusion: \"!x\"");
    options.exclude_ciphers = {};
    options.ciphers = "best";
    CHECK(cipher_list(options).error().what() == "invalid TLS cipher grade: \"best\"");
}

TEST_CASE("context: each wrong file is named with OpenSSL's reason; several sets of one chain file are all used")
{
    const Pem one = leaf("one.test"), two = leaf("two.test", KeyKind::rsa2048);
    const auto fails = [&](std::map<std::string, std::string> texts, Options options) {
        auto made = Context::server(std::move(options), files(std::move(texts)));
        REQUIRE_FALSE(made);
        return made.error().what();
    };
    Options chain;
    chain.chain_files = {"chain"};
    CHECK(fails({}, chain) == "open chain: No such file or directory");
    CHECK(fails({{"chain", ""}}, chain) == "cannot load certificate/key data from chain: no private key");
    CHECK(fails({{"chain", one.key}}, chain) == "cannot load certificate/key data from chain: no certificate");
    CHECK(fails({{"chain", one.key + two.certificate}}, chain).starts_with("cannot load certificate/key data from chain: error:"));
    CHECK(fails({{"chain", one.key + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}}, chain)
              .starts_with("cannot load certificate/key data from chain: error:"));
    CHECK(
        fails({{"chain", one.key + "-----BEGIN CERTIFICATE-----\n!!\n"}}, chain).starts_with("cannot load certificate/key data from chain: error:"));
    Options pair;
    pair.certificates = {{"cert", "key"}};
    CHECK(fails({{"cert", one.certificate}, {"key", two.key}}, pair).find("key") != std::string::npos);
    CHECK(fails({{"cert", one.certificate}, {"key", one.certificate}}, pair) == "cannot load certificate/key data from key: no private key");
    Options ca;
    ca.ca_file = "ca";
    CHECK(fails({{"ca", "nothing"}}, ca) == "cannot load Certification Authority data from ca: no certificate");
    Options digest;
    digest.fingerprint_digest = "md99";
    CHECK(fails({}, digest) == "unknown digest algorithm \"md99\"");

    asio::io_context loop;
    const auto both = Context::server(chain, files({{"chain", one.chain() + two.chain()}})).value();
    CHECK(both->has_certificate());
    CHECK_FALSE(Context::server({}, files({})).value()->has_certificate());
    Options rsa_only;
    rsa_only.protocols = "TLSv1.2";
    rsa_only.exclude_ciphers = {"ECDSA"};
    CHECK(meet(loop, client_context(rsa_only), both).client->facts.peer_cn == "two.test");
    CHECK(meet(loop, client_context(), both).client->facts.peer_cn == "one.test");

    // A key may have a file of its own in front of its certificates.
    Options apart;
    apart.chain_files = {"one.key", "one.pem", "two"};
    const std::string one_chain = one.certificate + authority().certificate;
    const auto split = Context::server(apart, files({{"one.key", one.key}, {"one.pem", one_chain}, {"two", two.chain()}})).value();
    CHECK(meet(loop, client_context(), split).client->facts.peer_cn == "one.test");
    CHECK(meet(loop, client_context(rsa_only), split).client->facts.peer_cn == "two.test");
    CHECK(fails({{"one.key", one.key}, {"one.pem", one.key}, {"two", two.chain()}}, apart) ==
          "cannot load certificate/key data from one.pem: no certificate");
    CHECK(fails({{"one.key", one.key}, {"one.pem", one_chain}, {"two", two.key}}, apart) ==
          "cannot load certificate/key data from two: no certificate");
}

TEST_CASE("context: files are read again for new sessions; those under way go on, tickets stay good, and what is wrong changes nothing")
{
    asio::io_context loop;
    HandClock clock;
    auto texts = std::make_shared<std::map<std::string, std::string>>();
    const auto read = [texts](const std::string& path) { return files(*texts)(path); };
    (*texts)["chain"] = leaf("old.test").chain();
    Options options;
    options.chain_files = {"chain"};
    const auto server = Context::server(options, read).value();
    ConnectOptions connecting("mx.test");
    connecting.sessions = std::make_shared<MemorySessionStore>(clock);
    connecting.session_key = "smtp:192.0.2.2:25";
    const auto talk = [&](bool resumes) {
        auto met = meet(loop, client_context(), server, resumes ? connecting : ConnectOptions("mx.test"));
        REQUIRE(met.client);
        run(loop, met.server->stream->write(std::string_view("220\r\n"))).value();
        CHECK(read_text(loop, *met.client->stream) == "220\r\n");
        return met;
    };
    auto under_way = talk(true);
    CHECK(under_way.client->facts.peer_cn == "old.test");
    const Pem renewed = leaf("new.test");
    (*texts)["chain"] = renewed.chain();
    REQUIRE(server->read_again(read));
    CHECK(talk(false).client->facts.peer_cn == "new.test");
    run(loop, under_way.client->stream->write(std::string_view("NOOP\r\n"))).value();
    CHECK(read_text(loop, *under_way.server->stream) == "NOOP\r\n");
    CHECK(talk(true).client->facts.resumed);
    for (const std::string& wrong : {std::string(), renewed.key + leaf("other.test").certificate, renewed.chain().substr(0, 300)}) {
        (*texts)["chain"] = wrong;
        CHECK_FALSE(server->read_again(read));
        CHECK(talk(false).client->facts.peer_cn == "new.test");
    }
    CHECK(server->has_certificate());
}

TEST_CASE("context: OpenSSL's own configuration is the system's, none, or a file that has settings for the application's name")
{
    asio::io_context loop;
    const Pem pem = leaf("host.test");
    const std::string settings =
        "posthorn = ours\nquiet = nothing\nbroken = wrong\n[ours]\nssl_conf = ssl\n[ssl]\nsystem_default = first\n[first]\n"
        "Ciphersuites = TLS_CHACHA20_POLY1305_SHA256\n[nothing]\nssl_conf = nossl\n[nossl]\nsystem_default = none\n[none]\nMinProtocol = TLSv1.2\n"
        "[wrong]\nssl_conf = missing\n";
    const auto made = [&](std::string file, std::string name) {
        Options options;
        options.config_file = std::move(file);
        options.config_name = std::move(name);
        options.chain_files = {"chain"};
        return Context::server(options, files({{"chain", pem.chain()}, {"/openssl.cnf", settings}, {"/bad.cnf", "[x\n"}}));
    };
    const auto cipher = [&] { return meet(loop, client_context(), server_context(pem)).client->facts.cipher; };
    const std::string usual = cipher();
    CHECK(usual != "TLS_CHACHA20_POLY1305_SHA256");
    REQUIRE(made("/openssl.cnf", "posthorn"));
    CHECK(cipher() == "TLS_CHACHA20_POLY1305_SHA256");         // of whoever makes a context in this process
    REQUIRE(made("none", ""));
    CHECK(cipher() == usual);
    REQUIRE(made("/openssl.cnf", "posthorn"));
    REQUIRE(made("/openssl.cnf", "quiet"));
    CHECK(cipher() == usual);
    REQUIRE(made("default", "posthorn"));                        // the system's has nothing for that name, and its own count
    CHECK(cipher() == usual);

    CHECK(made("/openssl.cnf", "").error().what() ==
          "tls_config_file: /openssl.cnf: nothing for the application name \"openssl_conf\" (tls_config_name)");
    CHECK(made("/openssl.cnf", "other").error().what() ==
          "tls_config_file: /openssl.cnf: nothing for the application name \"other\" (tls_config_name)");
    CHECK(made("/bad.cnf", "").error().what().starts_with("tls_config_file: /bad.cnf: line 1: error:"));
    CHECK(made("/openssl.cnf", "broken").error().what().starts_with("tls_config_file: /openssl.cnf: not understood: error:"));
    CHECK(made("/away.cnf", "").error().what() == "open /away.cnf: No such file or directory");
    CHECK(made("openssl.cnf", "").error().what() == "tls_config_file: openssl.cnf: expected default, none or an absolute path");
    REQUIRE(made("none", ""));
}
