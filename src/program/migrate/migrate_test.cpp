#include "migrate/copy.hpp"
#include "migrate/show.hpp"
#include "migrate/testing.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

using namespace posthorn;
using migrate::testing::Folder;
using migrate::testing::quiet;
using migrate::testing::small_master;
namespace fs = std::filesystem;

namespace {

std::vector<std::string> findings(const migrate::Survey& survey, const std::string& folder)
{
    std::vector<std::string> lines;
    for (const migrate::Finding& finding : survey.findings) {
        std::string line(migrate::to_text(finding.kind));
        for (const std::string* part : {&finding.place, &finding.subject, &finding.text})
            if (!part->empty())
                line += " | " + *part;
        for (std::size_t at; (at = line.find(folder)) != line.npos;)
            line.replace(at, folder.size(), "DIR");
        lines.push_back(line);
    }
    return lines;
}

}  // namespace

TEST_CASE("survey: where nothing differs nothing is said, and the directory is the one to start with")
{
    const Folder folder;
    folder.write("main.cf", quiet);
    folder.write("master.cf", small_master);
    const auto survey = migrate::survey(folder.path());
    REQUIRE(survey);
    CHECK(findings(*survey, folder.path()) == std::vector<std::string>{});
    CHECK_FALSE(migrate::differs(*survey));
    CHECK(migrate::as_text(*survey).find("Nothing differs. Posthorn runs on this directory as it is") != std::string::npos);
}

TEST_CASE("survey: parameters, services, tables and files are named with their place and what follows")
{
    const Folder folder;
    folder.write("main.cf", quiet +
                                "smtpd_tls_enable_rpk = yes\n"
                                "transport_maps = texthash:" +
                                folder.path() + "/transport, pcre:" + folder.path() +
                                "/gone\n"
                                "relay_domains = regexp:" +
                                folder.path() +
                                "/relay\n"
                                "smtp_tls_key_file = " +
                                folder.path() + "/key.pem\n");
    folder.write(
        "master.cf",
        small_master +
            "mailman unix - n n - - pipe\n  user=list argv=/bin/mm ${nonsense}\nuucp unix - n n - - pipe\n  user=uucp flags=Z argv=/bin/uux\n"
            "qmqp unix n - n - - qmqpd\n");
    folder.write("transport", "lists.test mailman:\nnot-a-line\n", 0666);
    folder.write("relay", "/^a\\.test$/ x\n/(/ y\nif /b/\n/bb/ z\nendif\n");
    folder.write("key.pem", "secret");
    const auto survey = migrate::survey(folder.path());
    REQUIRE(survey);
    CHECK(survey->starts);
    CHECK(fmt::format("{}", fmt::join(findings(*survey, folder.path()), "\n")) ==
          fmt::format(
              "{}",
              fmt::join(
                  std::vector<std::string>{
                      "parameter | DIR/main.cf, line 7 | smtpd_tls_enable_rpk | is not acted on: raw public keys need OpenSSL 3.2, and are not used",
                      "service | DIR/master.cf, line 7 | mailman/unix (pipe) | mail for it is deferred: argv: unknown macro name: nonsense",
                      "file | DIR/transport | may be written by everybody (mode 0666)",
                      "file | DIR/key.pem | smtp_tls_key_file | is secret, and everybody may read it (mode 0644)",
                  },
                  "\n")));
    REQUIRE(survey->tables.size() == 3);
    CHECK(survey->tables[0].trouble == "open " + folder.path() + "/gone: No such file or directory");
    CHECK(survey->tables[1].entries == 3);
    CHECK(survey->tables[1].warnings == std::vector<std::string>{"regexp map " + folder.path() + "/relay, line 2: Unmatched ( or \\("});
    CHECK(survey->tables[2].entries == 1);
    CHECK(survey->tables[2].used_by == std::vector<std::string>{"transport_maps"});
    CHECK(survey->tables[2].warnings.front().starts_with(folder.path() + "/transport, line 2: "));
}

TEST_CASE("survey: of a chain's files those are secret that have a key")
{
    const Folder folder;
    const std::string certificate = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
    const std::string key = "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n";
    folder.write("main.cf",
                 quiet + "smtpd_tls_chain_files = " + folder.path() + "/key.pem, " + folder.path() + "/cert.pem, " + folder.path() + "/both.pem\n");
    folder.write("master.cf", small_master);
    folder.write("key.pem", key);
    folder.write("cert.pem", certificate);
    folder.write("both.pem", key + certificate);
    const auto survey = migrate::survey(folder.path());
    REQUIRE(survey);
    std::vector<std::string> secret;
    for (const std::string& line : findings(*survey, folder.path()))
        if (line.find("is secret") != line.npos)
            secret.push_back(line.substr(0, line.find(" | smtpd")));
    std::ranges::sort(secret);
    CHECK(secret == std::vector<std::string>{"file | DIR/both.pem", "file | DIR/key.pem"});
}

TEST_CASE("survey: caches are no tables, and what stands beside postscreen is a note")
{
    const Folder folder;
    folder.write("main.cf", quiet +
                                "smtp_tls_session_cache_database = btree:${data_directory}/scache\naddress_verify_map = proxy:btree:/nowhere/verify\n"
                                "postscreen_cache_map = btree:$data_directory/screen\nsmtp_dns_support_level = dnssec\n");
    folder.write("master.cf", small_master + "25 inet n - n - 1 postscreen\ndnsblog unix - - n - 0 dnsblog\ntlsproxy unix - - n - 0 tlsproxy\n");
    const auto survey = migrate::survey(folder.path());
    REQUIRE(survey);
    CHECK(survey->tables.empty());
    CHECK(migrate::as_text(*survey).find("smtp_dns_support_level is dnssec: answers are validated here") != std::string::npos);
    CHECK_FALSE(migrate::differs(*survey));
    CHECK(migrate::as_text(*survey).find("Note: services that have nothing to do here\n  " + folder.path() +
                                         "/master.cf, line 8: dnsblog/unix (dnsblog) has nothing to do here: DNS lists are asked by smtpd\n") !=
          std::string::npos);
}

TEST_CASE("survey: what keeps it from starting is said, and what cannot be read is an error")
{
    const Folder folder;
    folder.write("main.cf", quiet + "message_size_limit = many\n");
    folder.write("master.cf", small_master);
    const auto survey = migrate::survey(folder.path());
    REQUIRE(survey);
    CHECK_FALSE(survey->starts);
    CHECK(survey->findings.front().text.find("message_size_limit") != std::string::npos);
    CHECK(migrate::as_text(*survey).find("does not start with this directory") != std::string::npos);

    folder.write("master.cf", "smtp inet n\n");
    CHECK(migrate::survey(folder.path()).error().text() == folder.path() + "/master.cf: line 1: missing \"unprivileged\" field");
    CHECK(migrate::survey(folder.path() + "/gone").error().text() == "open " + folder.path() + "/gone/main.cf: No such file or directory");
}

TEST_CASE("copy: a directory that starts, with what is not carried over as a comment; never half of it")
{
    const Folder folder;
    const std::string from = folder.path() + "/old", to = folder.path() + "/new";
    fs::create_directories(from + "/sub");
    folder.write("old/main.cf", quiet + "smtpd_tls_enable_rpk =\n  yes\nhash_queue_depth = 2\nvirtual_alias_maps = texthash:" + from +
                                    "/sub/virtual\n# see " + from + "/doc\n");
    folder.write("old/master.cf", small_master + "628 inet n - n - - qmqpd\n");
    folder.write("old/sub/virtual", "a@b.test c@d.test\n", 0640);
    const auto survey = migrate::survey(from);
    REQUIRE(survey);
    CHECK(std::ranges::count(survey->notes, "hash_queue_depth", &migrate::Finding::subject) == 1);
    CHECK(migrate::as_text(*survey).find("nothing to decide here") != std::string::npos);
    const auto copied = migrate::copy_configuration(*survey, to);
    REQUIRE_MESSAGE(copied, copied.error().text());
    CHECK(copied->files == 3);
    CHECK(
        folder.read("new/main.cf") ==
        "# Made by posthorn migrate from " + from + "; what is not carried over is a comment with its reason.\n" + quiet +
            "# posthorn: smtpd_tls_enable_rpk is not acted on: raw public keys need OpenSSL 3.2, and are not used\n# smtpd_tls_enable_rpk =\n#   yes\n"
            "hash_queue_depth = 2\n"
            "virtual_alias_maps = texthash:" +
            to + "/sub/virtual\n# see " + from + "/doc\n");
    CHECK(folder.read("new/master.cf").ends_with("\n628 inet n - n - - qmqpd\n"));
    CHECK(fs::status(to + "/sub/virtual").permissions() == fs::perms(0640));
    const auto again = migrate::survey(to);
    REQUIRE(again);
    CHECK_FALSE(migrate::differs(*again));

    CHECK(migrate::copy_configuration(*survey, to).error().text() == to + " exists: nothing was written");
    folder.write("old/main.cf", quiet + "message_size_limit = many\n");
    const auto broken = migrate::survey(from);
    REQUIRE(broken);
    CHECK(migrate::copy_configuration(*broken, folder.path() + "/third").error().text().find("would not start: ") != std::string::npos);
    for (const fs::directory_entry& entry : fs::directory_iterator(folder.path()))
        CHECK((entry.path() == from || entry.path() == to));
}

TEST_CASE("copy: only whole paths are changed")
{
    CHECK(migrate::with_paths("a = hash:/etc/p/x /srv/etc/p/x {/etc/p/y} /etc/pp/z /etc/p\n#/etc/p/x\n", "/etc/p", "/n") ==
          "a = hash:/n/x /srv/etc/p/x {/n/y} /etc/pp/z /etc/p\n#/etc/p/x\n");
}
