// Cyrus SASL's library itself, with a database of passwords that its own command makes. Without the packages (libsasl2-modules, libsasl2-modules-db,
// sasl2-bin) the cases that need them say so and test nothing.
#include "sasl/cyrus.hpp"

#include "base/strings.hpp"
#include "sasl/client.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <thread>

using namespace posthorn;
using namespace posthorn::sasl;
using namespace std::string_literals;
using AnswerKind = Answer::Kind;

namespace {

/// The library's state is the process's: all cases share one, whose sites are told apart by their number.
struct CyrusHouse {
    enum Site : std::size_t { plain, named, rooted, daemon, nowhere };
    std::filesystem::path folder = std::filesystem::temp_directory_path() / fmt::format("posthorn-cyrus.{}", ::getpid());
    Result<std::unique_ptr<Cyrus>> cyrus = Error{"not there"};

    CyrusHouse()
    {
        std::filesystem::create_directories(folder / "root/etc");
        if (!add(folder / "db", "here.test", "joe", "secret") || !add(folder / "db", "realm.test", "joe", "other") ||
            !add(folder / "root/etc/db", "here.test", "joe", "in the root"))
            return;
        const auto site = [&](std::string_view text, std::string realm = {}, std::string root = {}) {
            CyrusSite made;
            made.config = CyrusConfig::parse(text);
            made.host = "here.test";
            made.realm = std::move(realm);
            made.root = std::move(root);
            return made;
        };
        const std::string database = fmt::format("pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: {}/db\n", folder.string());
        cyrus = Cyrus::open({site(database), site(database + "mech_list: plain login\n", "realm.test"),
                             site("auxprop_plugin: sasldb\nsasldb_path: /etc/db\n", {}, (folder / "root").string()),
                             site(fmt::format("pwcheck_method: saslauthd\nmech_list: PLAIN\nsaslauthd_path: {}/mux\n", folder.string())),
                             site("auxprop_plugin: sasldb\nsasldb_path: /nonexistent/db\n")});
    }
    ~CyrusHouse() { std::filesystem::remove_all(folder); }

    static bool add(const std::filesystem::path& file, const std::string& realm, const std::string& user, const std::string& password)
    {
        const std::string command = fmt::format("PATH=$PATH:/usr/sbin saslpasswd2 -p -c -f {} -u {} {} 2>/dev/null", file.string(), realm, user);
        std::FILE* const pipe = ::popen(command.c_str(), "w");
        if (!pipe)
            return false;
        std::fputs(password.c_str(), pipe);
        return ::pclose(pipe) == 0;
    }
    static CyrusHouse& get()
    {
        static CyrusHouse house;
        return house;
    }
};

#define NEEDS_CYRUS() \
    CyrusHouse& house = CyrusHouse::get(); \
    if (!house.cyrus) { \
        MESSAGE("left out: ", house.cyrus.error().text()); \
        return; \
    } \
    const Cyrus& cyrus = **house.cyrus

CyrusAnswer ask(const Cyrus& cyrus, std::size_t site, std::string mechanism, const std::vector<std::string>& said)
{
    const auto talk = cyrus.talk(site);
    Question question;
    question.mechanism = std::move(mechanism);
    question.client_address = "192.0.2.1";
    question.client_port = 1024;
    std::size_t next = 0;
    if (question.mechanism == "PLAIN")
        question.initial = said.at(next++);
    CyrusAnswer answer = talk->begin(question);
    while (answer.answer.kind == AnswerKind::more && next < said.size())
        answer = talk->respond(said[next++]);
    return answer;
}

std::string plain(const std::string& user, const std::string& password) { return base64_encode("\0"s + user + "\0"s + password); }

/// Our client's mechanism against the library's server.
Answer client(const Cyrus& cyrus, std::size_t site, std::string_view name, const std::string& user, const std::string& password)
{
    const auto mechanism = begin(name, Credentials(user, password), Server("smtp", "here.test", 25));
    const auto talk = cyrus.talk(site);
    Question question;
    question.mechanism = name;
    if (auto initial = mechanism->initial())
        question.initial = initial->empty() ? "=" : base64_encode(*initial);
    Answer answer = talk->begin(question).answer;
    for (int turns = 0; answer.kind == AnswerKind::more && turns < 10; ++turns) {
        const auto next = mechanism->answer(base64_decode(answer.text).value());
        if (!next)
            return {AnswerKind::refused, "the client gave up: " + next.error().text()};
        answer = talk->respond(base64_encode(*next)).answer;
    }
    if (answer.kind == AnswerKind::accepted && !mechanism->finished())
        return {AnswerKind::refused, "the server has not proved itself"};
    return answer;
}

}  // namespace

TEST_CASE("smtpd.conf of Cyrus SASL: lines, folders, and what its plugins open")
{
    const CyrusConfig made =
        CyrusConfig::parse("# comment: x\nPwcheck_Method: saslauthd\n\n mech_list:plain login \nno line\n: none\ntwo words: x\n");
    CHECK(*made.option("pwcheck_method") == "saslauthd");
    CHECK(*made.option("mech_list") == "plain login");
    CHECK(!made.option("two words"));
    CHECK(!made.option("# comment"));
    CHECK(!made.asks_network());
    CHECK(made.paths() == std::vector<std::string>{"/dev/urandom", "/etc/sasldb2"});
    CHECK(CyrusConfig::parse("auxprop_plugin: SQL\n").asks_network());
    CHECK(CyrusConfig::parse("ldapdb_uri: ldap://x\n").asks_network());
    CHECK(CyrusConfig::parse("sql_database: /var/lib/x/db\nsasldb_path: /x/y\n").paths() ==
          std::vector<std::string>{"/dev/urandom", "/x/y", "/var/lib/x/db", "/var/lib/x/db-journal", "/var/lib/x/db-wal", "/var/lib/x/db-shm"});
    CHECK(CyrusConfig::parse("mech_list: gssapi\nkeytab: /etc/smtp.keytab\n").paths().back() == "/etc/smtp.keytab");

    const std::filesystem::path folder = std::filesystem::temp_directory_path() / fmt::format("posthorn-cyrus-conf.{}", ::getpid());
    std::filesystem::create_directories(folder / "second");
    std::ofstream(folder / "second/smtpd.conf") << "mech_list: plain\n";
    const auto found = CyrusConfig::find("smtpd", fmt::format("/nonexistent:{0}:{0}/second", folder.string()));
    CHECK(found.value().file() == (folder / "second/smtpd.conf").string());
    CHECK(*found->option("mech_list") == "plain");
    CHECK(CyrusConfig::find("other", folder.string()).value().file().empty());
    CHECK(CyrusConfig::find("../smtpd", folder.string()).error().text() ==
          "../smtpd: expected the name of a file of Cyrus SASL's, without folder and .conf");
    std::filesystem::remove_all(folder);
}

TEST_CASE("Cyrus SASL: what is offered is the file's, with what each mechanism protects against")
{
    NEEDS_CYRUS();
    const auto offers = cyrus.offers(CyrusHouse::plain);
    const auto has = [&](std::string_view name) {
        const auto found = std::ranges::find(*offers, name, &Offer::name);
        REQUIRE(found != offers->end());
        return found->has;
    };
    CHECK(has("PLAIN").includes({Property::no_anonymous}));
    CHECK(!has("PLAIN").includes({Property::no_plaintext}));
    CHECK(has("CRAM-MD5").includes({Property::no_plaintext, Property::no_anonymous}));
    CHECK(!has("CRAM-MD5").includes({Property::mutual_auth}));
    CHECK(has("SCRAM-SHA-256").includes({Property::mutual_auth}));
    std::vector<std::string> names;
    for (const Offer& offer : *cyrus.offers(CyrusHouse::named))
        names.push_back(offer.name);
    std::ranges::sort(names);
    CHECK(names == std::vector<std::string>{"LOGIN", "PLAIN"});
}

TEST_CASE("Cyrus SASL: passwords of sasldb, with a realm or that of the site; refusals say nothing of who exists")
{
    NEEDS_CYRUS();
    CHECK(ask(cyrus, CyrusHouse::plain, "PLAIN", {plain("joe", "secret")}).answer.kind == AnswerKind::accepted);
    CHECK(ask(cyrus, CyrusHouse::plain, "PLAIN", {plain("joe", "secret")}).answer.username == "joe");
    CHECK(ask(cyrus, CyrusHouse::plain, "PLAIN", {plain("joe@realm.test", "other")}).answer.kind == AnswerKind::accepted);
    CHECK(ask(cyrus, CyrusHouse::named, "PLAIN", {plain("joe", "other")}).answer.username == "joe@realm.test");
    CHECK(ask(cyrus, CyrusHouse::rooted, "PLAIN", {plain("joe", "in the root")}).answer.kind == AnswerKind::accepted);
    const CyrusAnswer login = ask(cyrus, CyrusHouse::named, "LOGIN", {base64_encode("joe"), base64_encode("other")});
    CHECK(login.answer.kind == AnswerKind::accepted);
    for (const auto& [user, password] : {std::pair{"joe", "wrong"}, {"nobody", "secret"}}) {
        const CyrusAnswer refused = ask(cyrus, CyrusHouse::plain, "PLAIN", {plain(user, password)});
        CHECK(refused.answer.kind == AnswerKind::refused);
        CHECK(refused.answer.text == "authentication failure");
        CHECK(refused.answer.username == user);
        CHECK(refused.complaints == std::vector<std::string>{"SASL authentication failure: Password verification failed"});
    }
    CHECK(ask(cyrus, CyrusHouse::plain, "PLAIN", {"?"}).answer.text == "another step is needed in authentication");
    CHECK(ask(cyrus, CyrusHouse::plain, "LOGIN", {"?"}).answer.text == "another step is needed in authentication");
    const CyrusAnswer none = ask(cyrus, CyrusHouse::plain, "X-NONE", {});
    CHECK(none.answer.text == "no mechanism available");
    CHECK(none.answer.username.empty());
    CHECK(none.complaints == std::vector<std::string>{"SASL authentication failure: Couldn't find mech X-NONE"});
    Question weak;
    weak.mechanism = "PLAIN";
    weak.initial = plain("joe", "secret");
    weak.wanted = {Property::no_plaintext};
    CHECK(cyrus.talk(CyrusHouse::plain)->begin(weak).answer.text == "encryption needed to use mechanism");
}

TEST_CASE("Cyrus SASL: our client's mechanisms and the library's agree")
{
    NEEDS_CYRUS();
    for (const char* const name : {"PLAIN", "LOGIN", "CRAM-MD5", "DIGEST-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"}) {
        CAPTURE(name);
        const Answer good = client(cyrus, CyrusHouse::plain, name, "joe", "secret");
        CHECK_MESSAGE(good.kind == AnswerKind::accepted, good.text);
        CHECK(good.username == "joe");
        CHECK(client(cyrus, CyrusHouse::plain, name, "joe", "wrong").kind != AnswerKind::accepted);
    }
}

TEST_CASE("Cyrus SASL: a saslauthd that is away is told of, and is nobody's wrong password")
{
    NEEDS_CYRUS();
    const CyrusAnswer away = ask(cyrus, CyrusHouse::daemon, "PLAIN", {plain("joe", "secret")});
    CHECK(away.answer.kind == AnswerKind::later);
    CHECK(away.answer.text == "generic failure");
    REQUIRE(!away.complaints.empty());
    CHECK(away.complaints.front() == "SASL authentication failure: cannot connect to saslauthd server: No such file or directory");
    const CyrusAnswer nowhere = ask(cyrus, CyrusHouse::nowhere, "PLAIN", {plain("joe", "secret")});
    CHECK(nowhere.answer.kind != AnswerKind::accepted);
    CHECK(!nowhere.complaints.empty());
}

TEST_CASE("Cyrus SASL: many clients at once, on threads of their own, have their own sites and answers")
{
    NEEDS_CYRUS();
    constexpr int threads_at_once = 4, turns = 25;
    std::vector<int> right(threads_at_once);
    std::vector<std::thread> threads;
    for (int number = 0; number < threads_at_once; ++number)
        threads.emplace_back([&, number] {
            for (int turn = 0; turn < turns; ++turn) {
                const bool realm = (number + turn) % 2 != 0;
                const Answer answer =
                    client(cyrus, realm ? CyrusHouse::named : CyrusHouse::plain, realm ? "PLAIN" : "CRAM-MD5", "joe", realm ? "other" : "secret");
                right[static_cast<std::size_t>(number)] +=
                    answer.kind == AnswerKind::accepted && answer.username == (realm ? "joe@realm.test" : "joe");
            }
        });
    for (std::thread& thread : threads)
        thread.join();
    CHECK(right == std::vector<int>(threads_at_once, turns));
}
